"""The order in which clicks and calls wait for their turn: users take turns, each user's own come
first in, first out.

A user is the address of the client, as the nearest proxy that is trusted tells it: sessions cost
nothing to make. A turn is one click or call, be it of one photo or of fifty.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from gradio.queueing import Event, EventQueue, Queue

WORK_ID = "work"  # what is worked on; all else that waits is quick
MOST_WAITING = 512  # of all users together
MOST_WAITING_OF_ONE = 64
RETRY_AFTER_S = 30
MOST_SESSIONS = 500  # of pages, closed ones too; the one used last goes last


class FairOrder(list[Event]):
    """Waiting events, the next one first. One that comes is put where its user's turn will be."""

    def append(self, event: Event) -> None:
        """The n-th of its user comes behind the n-th of everybody, who were here before."""
        before = Counter(map(user_of, self))[user_of(event)]
        rounds = Counter[str]()
        for place, waiting in enumerate(self):
            if rounds[user_of(waiting)] > before:
                self.insert(place, event)
                return
            rounds[user_of(waiting)] += 1
        super().append(event)


class FairQueue(Queue):
    """Gradio's queue in a fair order, where so many are worked on at once; who comes when too many
    wait is told to come back.
    """

    def __init__(self, blocks: Any, at_once: int) -> None:
        super().__init__(
            live_updates=False,
            concurrency_count=blocks.max_threads,
            update_intervals=1,
            max_size=None,
            blocks=blocks,
            default_concurrency_limit=2,
        )
        self.at_once = at_once

    def create_event_queue_for_fn(self, block_fn: Any) -> None:
        """As Gradio's, in a fair order."""
        super().create_event_queue_for_fn(block_fn)
        waiting: EventQueue = self.event_queue_per_concurrency_id[block_fn.concurrency_id]
        if block_fn.concurrency_id == WORK_ID:
            waiting.concurrency_limit = self.at_once
        if not isinstance(waiting.queue, FairOrder):
            waiting.queue = FairOrder(waiting.queue)

    async def push(self, body: Any, request: Any, username: str | None) -> Any:
        """Success, the event's number or what is amiss, and the kind of that, which becomes an
        answer's status: 503 where too many wait.
        """
        mine = address_of(request)
        own = sum(
            user_of(event) == mine
            for waiting in self.event_queue_per_concurrency_id.values()
            for event in waiting.queue
        )
        if len(self) >= MOST_WAITING or own >= MOST_WAITING_OF_ONE:
            whose = f"{own} calls of yours" if own >= MOST_WAITING_OF_ONE else f"{len(self)} calls"
            words = f"{whose} wait already: come back in {RETRY_AFTER_S} seconds"
            return False, words, "queue_full"
        return await super().push(body, request, username)

    async def process_events(
        self, events: list[Event], batch: bool, begin_time: float, fn: Any
    ) -> None:
        """As Gradio's, which then keeps half a megabyte for each session: a copy of the page."""
        try:
            await super().process_events(events, batch, begin_time, fn)
        finally:
            kept = self.blocks.state_holder
            for event in events:
                if event.session_hash == event._id:  # of this call of the API alone
                    kept.session_data.pop(event.session_hash, None)
                    kept.time_last_used.pop(event.session_hash, None)


def user_of(event: Event) -> str:
    """Whose turn an event takes."""
    return address_of(event.request)


def address_of(request: Any) -> str:
    """The address that a request comes from; empty where the server does not know it."""
    return request.client.host if request.client else ""
