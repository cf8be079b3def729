"""Records to handlers: many records of one event go to its handler at once, and mixed printing events are rendered by event too."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ..base.errors import InternalError
from .handlers import Handler, Record, Scene, handler_of

_BYTE_IDS = 256


class Dispatcher:
    """Hands records to the handlers of `scene`. Handlers are made when their first record comes."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._events = scene.image.events
        self._handlers: dict[int, Handler] = {}
        self._small = len(self._events) <= _BYTE_IDS
        self._order = "little" if scene.little_endian else "big"

    def _ids(self, records: Sequence[Record]) -> list[int]:
        if self._small and self._order == "little":
            return [record[0] for record in records]
        return [int.from_bytes(record[:4], self._order) for record in records]  # type: ignore[arg-type]

    def _handler(self, event_id: int) -> Handler:
        handler = self._handlers.get(event_id)
        if handler is None:
            if event_id >= len(self._events):
                raise InternalError(f"a record of an unknown event {event_id}")
            handler = self._handlers[event_id] = handler_of(self.scene, self._events[event_id])
        return handler

    def dispatch(self, records: Sequence[Record]) -> None:
        """Handle records, oldest first, up to an exit event; what follows it is dropped."""
        if self.scene.exiting or not records:
            return
        try:
            ids = self._ids(records)
            if ids.count(ids[0]) == len(ids):
                self._handler(ids[0]).handle(records)
            else:
                self._dispatch_mixed(records, ids)
        except (struct.error, IndexError) as error:
            raise InternalError(f"a record does not fit its event: {error}") from error

    def _dispatch_mixed(self, records: Sequence[Record], ids: list[int]) -> None:
        start, end = 0, len(ids)
        prints = {event_id: self._handler(event_id).each is not None for event_id in set(ids)}
        while start < end and not self.scene.exiting:
            stop = start + 1
            if prints[ids[start]]:
                while stop < end and prints[ids[stop]]:
                    stop += 1
                self._print(records[start:stop], ids[start:stop])
            else:
                while stop < end and ids[stop] == ids[start]:
                    stop += 1
                self._handler(ids[start]).handle(records[start:stop])
            start = stop

    def _print(self, records: Sequence[Record], ids: list[int]) -> None:
        """Render each event's records together, then put the pieces back into their order."""
        by_id: dict[int, list[Record]] = {}
        for event_id, record in zip(ids, records, strict=True):
            by_id.setdefault(event_id, []).append(record)
        if len(by_id) == 1:
            self._handler(ids[0]).handle(records)
            return
        texts = {}
        for event_id, group in by_id.items():
            each = self._handler(event_id).each
            assert each is not None
            texts[event_id] = iter(each(group))
        self.scene.out.write(b"".join([next(texts[event_id]) for event_id in ids]))
