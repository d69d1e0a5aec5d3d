"""What the service does by itself beside answering: it decides, and tells."""

from __future__ import annotations

from dataclasses import dataclass

from lem.advice.advisor import Advisor
from lem_pipeline.service.decider import Decider, Decides
from lem_pipeline.service.hiding import Hiding
from lem_pipeline.service.tail import Tail
from lem_pipeline.service.webhook import Webhook
from resources.settings import Settings


@dataclass(frozen=True)
class Push:
    """The threads of a service.

    Args:
        tail: of the audit log, which listeners watch.
        decider: None where nothing is decided unless somebody asks.
        webhook: None where there is none.
    """

    tail: Tail
    decider: Decider | None = None
    webhook: Webhook | None = None

    @classmethod
    def of(cls, advisor: Advisor, decides: Decides, settings: Settings) -> Push:
        """The threads that the settings ask for, not yet begun.

        Raises:
            ServiceError: the webhook's address or secret is none.
        """
        tail, url = Tail(advisor.store.audit), settings.webhook_url.get_secret_value()
        secret, name = settings.webhook_secret.get_secret_value(), advisor.universe.name
        webhook = Webhook(url, secret, name, tail, Hiding(settings)) if url else None
        return cls(tail, None if decides == "never" else Decider(advisor, tail, decides), webhook)

    def start(self) -> None:
        """Begin. Raises as `Webhook.start`."""
        for one in (self.webhook, self.decider):
            if one is not None:
                one.start()

    def stop(self) -> None:
        """End: streams too."""
        self.tail.closing = True
        for one in (self.decider, self.webhook):
            if one is not None:
                one.stop()
