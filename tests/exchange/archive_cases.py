"""An archive's day as it should be, and what is done to it, in the transport and in the file."""

from __future__ import annotations

import datetime as dt

import pandas as pd

from tests.exchange.archive_server import DAILY, HEADER, klines_csv, minute_bars, zipped
from tests.exchange.faults import Answer

DATE = dt.date(2024, 1, 31)
START = dt.datetime(2024, 1, 31, tzinfo=dt.UTC)
END = START + dt.timedelta(days=1)
TRUTH = minute_bars(DATE, 1, bar="15min")
NAME = "AAAUSDT-15m-2024-01-31.zip"
PATH = DAILY.format(venue_symbol="AAAUSDT", bar="15m", date=DATE)
TIMEOUT = 2.0

WHOLE = zipped(NAME.replace(".zip", ".csv"), klines_csv(TRUTH))
PASSING = {
    "status 500": (Answer(500), "the server answers with status 500"),
    "no answer in time": (Answer(delay=TIMEOUT * 2), "no answer within 2 s"),
    "connection reset in the middle": (
        Answer(cut=3000, reset=True),
        "cannot be read: ClientPayloadError: .*Not enough",
    ),
    "body shorter than its length": (Answer(cut=1), "cannot be read: ClientPayloadError: .*Not enough data"),
    "partial upload": (Answer(body=WHOLE[:-2000]), "wrong checksum: .* is [0-9a-f]{64}, not [0-9a-f]{64}"),
    "a web page with status 200": (Answer(body=b"<html>try later</html>"), "wrong checksum"),
}
CONTENT_FAULTS = {
    "two files in the archive": ([("a.csv", b"x"), ("b.csv", b"x")], "the archive has 2 members"),
    "a path as the member's name": ([("../../x.csv", b"x")], "the member is named"),
    "zip bomb": ([("a.csv", bytes(30_000_000))], "the member has 30000000 bytes unpacked; allowed: at most 10000000"),
    "text for a number": (
        [("a.csv", klines_csv(TRUTH).replace(b",100", b",n/a", 1))],
        "row 1, .*'n/a.* is not a number",
    ),
    "two units in one file": (
        [("a.csv", klines_csv(TRUTH.iloc[:50]) + klines_csv(TRUTH.iloc[50:], unit="us"))],
        "row 51, .* is not in ms as row 1 is",
    ),
    "a bar of the next day": (
        [("a.csv", klines_csv(TRUTH.assign(ts=TRUTH["ts"] + pd.Timedelta("15min"))))],
        "row 96, .* is no bar of this archive's time",
    ),
    "a row cut short": ([("a.csv", klines_csv(TRUTH)[:-30])], "row 96 has [0-9]+ fields; allowed: 12"),
    "a header in the middle": (
        [("a.csv", klines_csv(TRUTH.iloc[:9], header=HEADER) + klines_csv(TRUTH.iloc[9:], header=HEADER))],
        "row 10, column 'open_time': 'open_time' is not a number",
    ),
    "a volume a thousand times too small": (
        [("a.csv", klines_csv(TRUTH.assign(volume=TRUTH["volume"].where(TRUTH.index != 7, TRUTH["volume"] / 1000))))],
        "low <= VWAP .*row|VWAP",
    ),
    "bars 14.789 s late": (
        [("a.csv", klines_csv(TRUTH.assign(ts=TRUTH["ts"] + pd.to_timedelta(14789 * (TRUTH.index > 90), unit="ms"))))],
        "looks like a shifted grid: 14.789 s",
    ),
    "bars at their close": (
        [("a.csv", klines_csv(TRUTH.assign(ts=TRUTH["ts"] + pd.Timedelta("899s"))))],
        "looks like close stamps",
    ),
    "the last number cut": (
        [("a.csv", b"open_time,open,high,low,close,quote_volume,volume\n1706659200000,1,1,1,1,57654321,576")],
        "the last line has no end, so its volume may be cut",
    ),
    "a column twice": (
        [("a.csv", klines_csv(TRUTH, header=HEADER.replace("count", "volume")))],
        "2 columns 'volume'",
    ),
    "bars missing in the file": ([("a.csv", klines_csv(TRUTH.drop([40, 41])))], "missing|gap"),
    "one bar twice with other numbers": (
        [
            (
                "a.csv",
                klines_csv(TRUTH) + klines_csv(TRUTH.iloc[3:4].assign(quote_volume=TRUTH["quote_volume"] * 1.00001)),
            )
        ],
        "(?i)conflict|differ|twice|same bar",
    ),
}
SHAPES = {
    "no header": ("", "ms"),
    "a header": (HEADER, "ms"),
    "microseconds": ("", "us"),
    "a header, us": (HEADER, "us"),
}
SLOW = "a slow answer, in time"
FAULTS = [
    *(f"{over}: {fault}, {times}" for over in ("http", "s3") for fault in PASSING for times in ("once", "always")),
    *(f"{over}: {SLOW}" for over in ("http", "s3")),
    *(f"{over}: wrong checksum, {times}" for over in ("http", "s3") for times in ("twice", "always")),
    *(
        f"{over}: {fault}"
        for over in ("http", "s3")
        for fault in (
            "no checksum beside the archive",
            "no archive, and no venue to ask",
            "status 403",
            "status 503 with Retry-After: 7",
            "status 429 with Retry-After: 9000",
        )
    ),
    *(f"file with {shape}" for shape in SHAPES),
    *CONTENT_FAULTS,
    "an archive that was cut before its checksum was made",
    "identical rows twice",
    "rows in a listed outage",
    "a name in another script",
    "quote volume rounded to eight decimals",
    "no monthly archive of a month that is over",
    "s3: no such bucket",
]
