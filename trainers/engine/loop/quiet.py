"""What DeepSpeed and PEFT say about themselves stays away from people, and from the JSON on stdout."""

import logging
import warnings


def quiet_deepspeed() -> None:
    """Errors alone pass DeepSpeed's logger, which writes to stdout; call it before or after deepspeed is imported.

    A level would not do: DeepSpeed sets its own when it is imported, and looks aloud for an accelerator at once.
    """
    logging.getLogger("DeepSpeed").addFilter(_is_error)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def quiet_peft() -> None:
    """No warning about `is_gradient_checkpointing`, which PEFT and TRL ask every model for, and transformers renamed."""
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
