"""Every exception of the engine, grouped by what to do next.

```
ReconError
  x ProjectError            the definitions are wrong; mend the file named (exit 2)
    + NoProject             no recon.toml here or above
    + BadSetting            a key of recon.toml: unknown, missing or of the wrong shape
    + BadDefinition         a job or provider file that does not load or declares nonsense
    + DuplicateName         one name, two files
    + UnknownName           a name nobody defines
    + MissingSecret         a secret's reference leads nowhere
    + BadRequest            an argument of a command that cannot be served
  x ProviderError           the third party's side (exit 75: incomplete, try again)
    + Unreachable           no answer within the deadline, after all tries
    + Refused               an answer that no retry will better: 401, 403, 404 of the listing
    + Throttled             told to slow down for longer than the run may wait
    + InvalidPage           an answer that is no page: wrong shape, cut, login page, error body
    + EndlessListing        a cursor or a page came twice: the listing never ends
    + ForeignOrigin         a URL on a host that was not declared
    + OversizedBody         a body larger than the bound
    + PageTooLarge          the third party cannot give so many items a page
    + RangeTooWide          the third party cannot give so wide a range
    + FilterIgnored         rows came that lie outside the range or shard that was asked for
    + CursorExpired         a cursor is older than the third party honours, or it names an item that is gone
    + PartialListing        some of the listing could not be had; the rest was compared
    + ItemRefused           the third party does not give out this one item
    + Unconfirmed           the second look got no answer that proves anything
  x StoreError              our own database's side (exit 75)
    + StoreUnreachable      no connection, or it went away mid-read
    + StoreMismatch         a table or column that is not there, a statement refused (exit 2)
  x StateError              the reconciler's own database (exit 75)
    + LeaseHeld             another process works on this domain
    + LostLease             this process was fenced off; it may write nothing more
    + SlotTaken             this scheduled instant has its run already
    + StateTooNew           the database was written by a newer version (exit 2)
  x PlanError               a plan may not go out (exit 4)
    + Held                  a guard tripped; a person decides
    + StalePlan             an approval that does not fit what is there now
    + TooLargeToPlan        more discrepancies than one plan may hold (exit 2)
  x DeliveryError           events could not be delivered (exit 6)
  x LocalFault              this machine: disk full, folder not writable (exit 75)
```

A leaf says what happened; its message carries the subject, the figures, the limit and the way out.
`hint` is the way out on a line of its own where the message would grow too long.
"""


class ReconError(Exception):
    """The base of all; `exit_code` is what the command line ends with."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class ProjectError(ReconError):
    """The definitions are wrong; nothing ran for the domain concerned."""

    exit_code = 2


class NoProject(ProjectError):
    """No recon.toml was found here or in any folder above."""


class BadSetting(ProjectError):
    """A setting is unknown, missing or of the wrong shape; the message names file and key."""


class BadDefinition(ProjectError):
    """A job or provider file does not load, or declares something that cannot be."""


class DuplicateName(ProjectError):
    """One name is defined in two files; the message names both."""


class UnknownName(ProjectError):
    """A job, provider, store or publisher is named that nobody defines."""


class MissingSecret(ProjectError):
    """A secret is referred to, and the reference leads nowhere."""


class BadRequest(ProjectError):
    """A command was asked for something that cannot be served as asked."""


class ProviderError(ReconError):
    """The third party's side failed; nothing may be inferred from what was not seen."""

    exit_code = 75


class Unreachable(ProviderError):
    """No usable answer came within the deadline, after all tries."""


class Refused(ProviderError):
    """The third party refused in a way that no retry will better; `status` is its answer's, where there was one."""

    def __init__(self, message: str, *, hint: str | None = None, status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class Throttled(ProviderError):
    """The third party asked for a longer pause than the run may take."""


class InvalidPage(ProviderError):
    """An answer came that is not a page of the listing."""


class EndlessListing(ProviderError):
    """A cursor or a page came a second time: the listing runs in a circle."""


class ForeignOrigin(ProviderError):
    """A URL leads to an origin that the provider did not declare."""


class OversizedBody(ProviderError):
    """A body is larger, encoded or decoded, than the bound allows."""


class PageTooLarge(ProviderError):
    """The third party asks for fewer items a page."""


class RangeTooWide(ProviderError):
    """The third party asks for a narrower range."""


class FilterIgnored(ProviderError):
    """Rows came that lie outside the range or shard asked for: the third party does not honour the filter."""


class CursorExpired(ProviderError):
    """A place in the listing that cannot be gone on from any more."""


class PartialListing(ProviderError):
    """Some of the listing could not be had: the rest was compared, and no absence was inferred."""


class ItemRefused(ProviderError):
    """The third party does not give out this one item; of the others this says nothing."""


class Unconfirmed(ProviderError):
    """Not one suspect could be looked at again: the third party went away between the looks."""


class StoreError(ReconError):
    """Our own database's side failed."""

    exit_code = 75


class StoreUnreachable(StoreError):
    """The store gave no connection, or it went away in the middle of a read."""


class StoreMismatch(StoreError):
    """The job and the store do not fit: no such table or column, or a statement refused."""

    exit_code = 2


class StateError(ReconError):
    """The reconciler's own database failed or refused."""

    exit_code = 75


class LeaseHeld(StateError):
    """Another process holds this domain's lease."""


class LostLease(StateError):
    """This process's fence is stale: another one took over, and nothing more may be written."""


class SlotTaken(StateError):
    """This domain's scheduled instant has its run already; `run` is that run's id."""

    def __init__(self, message: str, *, run: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.run = run


class StateTooNew(StateError):
    """The state database was written by a newer version of this program."""

    exit_code = 2


class PlanError(ReconError):
    """A plan may not go out."""

    exit_code = 4


class Held(PlanError):
    """A guard tripped: the plan waits, whole, for a person."""


class StalePlan(PlanError):
    """An approval or rejection does not fit the plan as it stands now."""


class TooLargeToPlan(PlanError):
    """More discrepancies than one plan may hold: a bulk load is missing, or the table is the wrong one."""

    exit_code = 2


class DeliveryError(ReconError):
    """Some events were not delivered."""

    exit_code = 6


class LocalFault(ReconError):
    """This machine is at fault: a full disk, a folder that cannot be written."""

    exit_code = 75
