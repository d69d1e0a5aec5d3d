"""The paper venue's own books: a SQLite file with its slices, its fills, and what it has still to tell.

What is told is in the file before it is told, and that it was told is written afterwards: a venue that is killed in
between tells it again under the same id, and the desk counts it once.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from lem.advice.amounts import minus, total
from lem.advice.venue_rules import VenueRules
from lem.errors import PaperError
from lem.paper.filling import Child, VenueFill
from lem.paper.messages import Account, Message

_TABLES = """
CREATE TABLE IF NOT EXISTS about (universe TEXT NOT NULL, since TEXT);
CREATE TABLE IF NOT EXISTS slices (
    order_id TEXT, bar TEXT, number INTEGER, working INTEGER, bar_end TEXT, asset TEXT, side TEXT, target TEXT,
    accepted_at TEXT, amount TEXT, size TEXT, mode TEXT, limit_price TEXT, lot TEXT, tick TEXT, min_amount TEXT,
    min_notional TEXT, PRIMARY KEY (order_id, bar)
);
CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, is_open INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS slices_working ON slices (working) WHERE working;
CREATE TABLE IF NOT EXISTS fills (
    order_id TEXT, bar TEXT, fill_id TEXT, amount TEXT, price TEXT, fee TEXT, traded_at TEXT,
    PRIMARY KEY (order_id, fill_id)
);
CREATE TABLE IF NOT EXISTS messages (
    place INTEGER PRIMARY KEY, order_id TEXT, bar TEXT, due TEXT, corrects INTEGER, fill_id TEXT, amount TEXT,
    price TEXT, fee TEXT, traded_at TEXT, state TEXT NOT NULL DEFAULT 'due', reason TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS messages_due ON messages (due) WHERE state = 'due';
"""
_RULES = ("lot", "tick", "min_amount", "min_notional")


class Book:
    """The books of one venue. No other process opens them at the same time.

    Args:
        path: of the file, which is made where it is missing.
        universe: name of the one whose slices they hold.

    Raises:
        PaperError: (by every method too) the file cannot be read or written, is open elsewhere, or is of another
            universe.
    """

    def __init__(self, path: Path, universe: str) -> None:
        self._path = path
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=1.0, isolation_level=None)
            try:
                # One venue a file: the lock goes with the process.
                self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._db.execute("PRAGMA synchronous = FULL")
                self._db.execute("BEGIN EXCLUSIVE")
                for statement in _TABLES.split(";"):
                    self._db.execute(statement)
                if self._db.execute("SELECT count(*) FROM about").fetchone()[0] == 0:
                    self._db.execute("INSERT INTO about VALUES (?, NULL)", (universe,))
                self._db.execute("COMMIT")
                own, since = self._db.execute("SELECT universe, since FROM about").fetchone()
            except BaseException:
                self._db.close()
                raise
        if own != universe:
            self._db.close()
            raise PaperError(f"{path}: the books are of universe {own}; allowed: those of {universe}, or another file")
        self._since = None if since is None else _time(since)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def since(self, now: dt.datetime) -> dt.datetime:
        """Since when the books are kept: since `now` (the desk's clock, UTC) where this is asked for the first time."""
        if self._since is None:
            with self._writing():
                self._db.execute("UPDATE about SET since = ?", (_text(now),))
            self._since = now
        return self._since

    def has(self, order_id: str, bar: dt.datetime) -> bool:
        """Whether a slice is in the books."""
        query = "SELECT 1 FROM slices WHERE order_id = ? AND bar = ?"
        return self._one(query, order_id, _text(bar)) is not None

    def last_number(self, order_id: str) -> int:
        """Number of the last bar of an order that the books have; 0 for none."""
        return self._one("SELECT coalesce(max(number), 0) FROM slices WHERE order_id = ?", order_id)[0]

    def left(self, order_id: str, size: Decimal) -> Decimal:
        """What is left of an order of a size, by what was filled here and what is being worked."""
        rows = self._all("SELECT amount FROM fills WHERE order_id = ?", order_id)
        rows += self._all("SELECT amount FROM slices WHERE order_id = ? AND working", order_id)
        return minus(size, total([Decimal(amount) for (amount,) in rows]))

    def accept(self, slices: Sequence[tuple[int, Child]]) -> None:
        """Take slices on, each with the number of its bar in the order."""
        with self._writing():
            self._db.executemany(
                f"INSERT INTO slices VALUES ({', '.join('?' * 17)})",
                [_row_of(child, number, working=True) for number, child in slices],
            )
            self._db.executemany("INSERT OR REPLACE INTO orders VALUES (?, 1)", [(c.order_id,) for _, c in slices])

    def open_orders(self) -> list[str]:
        """Orders that had a slice here and are not known to have ended."""
        return [key for (key,) in self._all("SELECT order_id FROM orders WHERE is_open ORDER BY order_id")]

    def knows(self, order_id: str) -> bool:
        """Whether an order had a slice here, or was noted to have ended."""
        return self._one("SELECT 1 FROM orders WHERE order_id = ?", order_id) is not None

    def end(self, order_id: str) -> None:
        """Note that an order has ended; its next slice, if it gets one, opens it again."""
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO orders VALUES (?, 0)", (order_id,))

    def miss(self, number: int, child: Child, message: Message) -> None:
        """Note a slice that came when its bar was over, and what is to be told of it."""
        with self._writing():
            self._db.execute(
                f"INSERT INTO slices VALUES ({', '.join('?' * 17)})", _row_of(child, number, working=False)
            )
            self._queue([message])

    def working(self, now: dt.datetime) -> list[Child]:
        """Slices whose bars are over and that are not settled yet, the oldest first."""
        rows = self._all("SELECT * FROM slices WHERE working AND bar_end <= ? ORDER BY bar, order_id", _text(now))
        return [_child_of(row) for row in rows]

    def settle(self, accounts: Sequence[tuple[Child, Account]]) -> None:
        """Note what slices came to, and what is to be told of them."""
        with self._writing():
            for child, account in accounts:
                key = (child.order_id, _text(child.bar))
                self._db.execute("UPDATE slices SET working = 0 WHERE order_id = ? AND bar = ?", key)
                self._db.executemany(
                    "INSERT INTO fills VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [(*key, *_columns(fill)) for fill in account.fills],
                )
                self._queue(account.messages)

    def to_tell(self, now: dt.datetime) -> list[tuple[int, Message]]:
        """What is due to be told, in its order, each with its place in the books."""
        rows = self._all("SELECT * FROM messages WHERE state = 'due' AND due <= ? ORDER BY due, place", _text(now))
        return [(row[0], _message_of(row)) for row in rows]

    def told(self, done: Sequence[tuple[int, str]]) -> None:
        """Note what was told: places, each with why it was refused, or an empty text.

        An order that had ended may go on after what was told of it: it is open here until it is seen to have ended.
        """
        with self._writing():
            self._db.executemany(
                "UPDATE messages SET state = ?, reason = ? WHERE place = ?",
                [("refused" if why else "told", why, place) for place, why in done],
            )
            self._db.executemany(
                "UPDATE orders SET is_open = 1 WHERE order_id = (SELECT order_id FROM messages WHERE place = ?)",
                [(place,) for place, why in done if not why],
            )

    def next_due(self) -> dt.datetime | None:
        """When the next message is due; None where nothing is left to be told."""
        (due,) = self._one("SELECT min(due) FROM messages WHERE state = 'due'")
        return None if due is None else _time(due)

    def is_idle(self) -> bool:
        """Whether nothing is worked and nothing is left to be told."""
        return self.next_due() is None and self._one("SELECT 1 FROM slices WHERE working LIMIT 1") is None

    def fills(self, order_id: str) -> list[VenueFill]:
        """The fills of an order that hold."""
        query = (
            "SELECT fill_id, amount, price, fee, traded_at FROM fills WHERE order_id = ? ORDER BY traded_at, fill_id"
        )
        return [_fill_of(row) for row in self._all(query, order_id)]

    def refused(self) -> list[tuple[Message, str]]:
        """What the desk did not take, with its reason."""
        rows = self._all("SELECT * FROM messages WHERE state = 'refused' ORDER BY place")
        return [(_message_of(row), row[-1]) for row in rows]

    def _queue(self, messages: Sequence[Message]) -> None:
        columns = "order_id, bar, due, corrects, fill_id, amount, price, fee, traded_at"
        self._db.executemany(
            f"INSERT INTO messages ({columns}) VALUES ({', '.join('?' * 9)})",
            [
                (m.order_id, _text(m.bar), _text(m.due), m.corrects, *(_columns(m.fill) if m.fill else (None,) * 5))
                for m in messages
            ],
        )

    def _one(self, query: str, *values: Any) -> Any:
        with self._explained():
            return self._db.execute(query, values).fetchone()

    def _all(self, query: str, *values: Any) -> list[Any]:
        with self._explained():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            remedy = "it is open elsewhere: one venue a file" if "locked" in str(error) else "check the file"
            raise PaperError(f"{self._path}: {error}; {remedy}, or name another one") from error


def _text(time: dt.datetime) -> str:
    """A time such that texts are in the order of times."""
    return time.astimezone(dt.UTC).isoformat(timespec="microseconds")


def _time(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def _digits(number: Decimal | None) -> str | None:
    return None if number is None else f"{number:f}"


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _columns(fill: VenueFill) -> tuple[str | None, ...]:
    return fill.fill_id, *map(_digits, (fill.amount, fill.price, fill.fee)), _text(fill.traded_at)


def _fill_of(row: Sequence[Any]) -> VenueFill:
    fill_id, amount, price, fee, traded_at = row
    return VenueFill(fill_id, Decimal(amount), Decimal(price), Decimal(fee), _time(traded_at))


def _row_of(child: Child, number: int, working: bool) -> tuple[Any, ...]:
    kind = (_text(child.bar_end), child.asset, child.side, child.target, _text(child.accepted_at))
    numbers = (child.amount, child.size, child.mode, child.limit_price)
    texts = tuple(value if isinstance(value, str) else _digits(value) for value in numbers)
    rules = tuple(_digits(getattr(child.rules, name)) for name in _RULES)
    return (child.order_id, _text(child.bar), number, working, *kind, *texts, *rules)


def _child_of(row: Sequence[Any]) -> Child:
    order_id, bar, _, _, bar_end, asset, side, target, accepted_at, amount, size, mode, limit, *rules = row
    return Child(
        order_id=order_id,
        asset=asset,
        side=side,
        target=target,
        bar=_time(bar),
        bar_end=_time(bar_end),
        accepted_at=_time(accepted_at),
        amount=Decimal(amount),
        size=Decimal(size),
        mode=mode,
        limit_price=_number(limit),
        rules=VenueRules(*map(_number, rules)),
    )


def _message_of(row: Sequence[Any]) -> Message:
    _, order_id, bar, due, corrects, *fill = row[:10]
    told = None if fill[0] is None else _fill_of(fill)
    return Message(order_id, _time(bar), _time(due), told, bool(corrects))
