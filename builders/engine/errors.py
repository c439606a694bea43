"""What can go wrong while building, by what becomes of it.

Reject          this row is not worth keeping        kept under `rejected` with its reason; the run goes on
                (so is a request the endpoint refuses: a content filter, a 400; remembered like an answer)
TeacherError
  Unavailable   timeout, 429, 5xx, not a completion  retried with jitter; then the run stops, resumable
  Misconfigured no key, 401, unknown model           the run stops at once, exit code 2
Interrupted     Ctrl-C, budget spent                 what is in flight lands in the ledger; the run stops, resumable
LedgerError     the ledger cannot be read or written the run stops at once, exit code 2
anything else   a bug of ours                        crashes at once, with its traceback
"""


class Reject(Exception):
    """A row that is not worth keeping. `reason` is counted on the card; `detail` is what was seen."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class TeacherError(Exception):
    """A call that brought no answer."""


class Unavailable(TeacherError):
    """The endpoint could not answer now; asking later may help."""


class Misconfigured(TeacherError):
    """The endpoint cannot be used as it is set up: key, address, model or quota."""


class Unpaid(Exception):
    """The answer is not in the ledger, and buying it was not asked for."""


class Interrupted(Exception):
    """The run was told to stop; everything paid for is in the ledger."""


class OutOfBudget(Interrupted):
    """The next call could cost more than the budget has left."""


class LedgerError(Exception):
    """The ledger cannot be opened, read or written."""
