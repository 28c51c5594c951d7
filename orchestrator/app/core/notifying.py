"""Webhooks: a part of the façade, as a table of contents."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import httpx

from app.core.errors import DeliveryNotFoundError, WebhookNotFoundError, WebhooksUnavailableError
from app.core.notices import deliveries, webhooks
from app.core.notices.courier import IN_FLIGHT, Courier
from app.core.notices.sealing import Sealer
from app.core.notices.sending import Sender
from ml_shared.contracts.values import uuid_of
from ml_shared.contracts.webhooks import (
    DeliveryAccepted,
    DeliveryPage,
    DeliveryStatus,
    ReplayAccepted,
    ReplayRequest,
    WebhookChange,
    WebhookCreated,
    WebhookList,
    WebhookRequest,
    WebhookRotated,
    WebhookView,
)
from ml_shared.web.addresses import AddressGuard, Resolver, SystemResolver
from ml_shared.web.urls import normalise_url

if TYPE_CHECKING:
    from app.config import Settings

_PORTS: Final = {"http": 80, "https": 443}


class Notifying:
    """The use cases of webhooks.

    Without a key to seal secrets with there are none: each raises `WebhooksUnavailableError`.
    """

    def __init__(self, pool: asyncpg.Pool, settings: "Settings") -> None:
        self._pool = pool
        self._settings = settings
        self._guard = guard_of(settings, SystemResolver())

    @property
    def _sealer(self) -> Sealer:
        if not self._settings.webhook_keys:
            raise WebhooksUnavailableError
        return Sealer(self._settings.webhook_keys)

    async def create(
        self, owner: str, request: WebhookRequest, *, idempotency_key: str | None
    ) -> WebhookCreated | WebhookView:
        """Make a webhook. See `app.core.notices.webhooks.create`.

        Raises
        ------
        BlockedPortError, BlockedAddressError
            If it is seen at once that nothing may be sent there.
        """
        sealer = self._sealer
        self._check(request.url)
        return await webhooks.create(
            self._pool,
            owner,
            request,
            sealer,
            max_webhooks=self._settings.MAX_WEBHOOKS_PER_OWNER,
            idempotency_key=idempotency_key,
        )

    async def webhook(self, owner: str, webhook_id: str) -> WebhookView:
        """Return an owner's webhook."""
        return await webhooks.find(self._pool, owner, self._known(webhook_id))

    async def webhooks(self, owner: str) -> WebhookList:
        """Return all of an owner's webhooks."""
        _ = self._sealer
        return await webhooks.find_all(self._pool, owner)

    async def change(self, owner: str, webhook_id: str, wanted: WebhookChange) -> WebhookView:
        """Change, pause or resume a webhook. See `app.core.notices.webhooks.change`."""
        known = self._known(webhook_id)
        if wanted.url is not None:
            self._check(wanted.url)
        view = await webhooks.change(self._pool, owner, known, wanted)
        if wanted.paused:
            await deliveries.hold(self._pool, owner, known)
        return view

    async def rotate(self, owner: str, webhook_id: str, *, idempotency_key: str | None) -> tuple[WebhookRotated, bool]:
        """Give a webhook a new secret. See `app.core.notices.webhooks.rotate`."""
        known = self._known(webhook_id)
        return await webhooks.rotate(self._pool, owner, known, self._sealer, idempotency_key=idempotency_key)

    async def delete(self, owner: str, webhook_id: str) -> None:
        """Delete a webhook. See `app.core.notices.webhooks.delete`."""
        await webhooks.delete(self._pool, owner, self._known(webhook_id))

    async def send_test(self, owner: str, webhook_id: str) -> DeliveryAccepted:
        """Have a test sent. See `app.core.notices.deliveries.send_test`."""
        return await deliveries.send_test(self._pool, owner, self._known(webhook_id))

    async def deliveries(
        self, owner: str, webhook_id: str, status: DeliveryStatus | None, *, limit: int, cursor: str | None
    ) -> DeliveryPage:
        """Return a page of what a webhook was told, newest first."""
        known = self._known(webhook_id)
        return await deliveries.find_page(self._pool, owner, known, status, limit=limit, cursor=cursor)

    async def replay(self, owner: str, webhook_id: str, delivery_id: str) -> DeliveryAccepted:
        """Have one delivery sent again. See `app.core.notices.deliveries.replay`."""
        known, delivery = self._known(webhook_id), uuid_of(delivery_id)
        if delivery is None:
            raise DeliveryNotFoundError
        return await deliveries.replay(self._pool, owner, known, delivery)

    async def replay_since(self, owner: str, webhook_id: str, request: ReplayRequest) -> ReplayAccepted:
        """Have sent again what was made since a time. See `app.core.notices.deliveries.replay_since`."""
        return await deliveries.replay_since(self._pool, owner, self._known(webhook_id), request)

    def _known(self, webhook_id: str) -> UUID:
        _ = self._sealer
        found = uuid_of(webhook_id)
        if found is None:
            raise WebhookNotFoundError
        return found

    def _check(self, url: str) -> None:
        parts = urlsplit(normalise_url(url))
        self._guard.check(parts.hostname or "", parts.port or _PORTS[parts.scheme])


def guard_of(settings: "Settings", resolver: Resolver) -> AddressGuard:
    """Return what says where receivers may be."""
    return AddressGuard(
        resolver,
        private_networks=settings.WEBHOOK_PRIVATE_NETWORKS,
        ports=settings.WEBHOOK_PORTS,
        blocked_networks=settings.WEBHOOK_BLOCKED_NETWORKS,
        nat64_prefixes=settings.WEBHOOK_NAT64_PREFIXES,
    )


@contextlib.contextmanager
def open_courier(pool: asyncpg.Pool, settings: "Settings", *, resolver: Resolver | None = None) -> Iterator[Courier]:
    """Open what sends webhooks.

    Parameters
    ----------
    resolver
        Finds the addresses of hosts; the system's unless given.
    """
    system = SystemResolver(threads=IN_FLIGHT)
    sender = Sender(guard_of(settings, resolver or system), httpx.create_ssl_context())
    try:
        yield Courier(pool, sender, Sealer(settings.webhook_keys))
    finally:
        system.close()
