"""What the Redis publisher has the server run: many events of one stream added in one step, each once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from recon.publishers.base import Message

MOST = 100
CALL_BYTES = 1024 * 1024
"""The server does nothing else while a script runs: a hundred events of a kilobyte take it two thousandths of a second."""

ADD = """
local answers = {}
for i = 2, #KEYS do
  local at = 3 + (i - 2) * 6
  local new = redis.pcall('SET', KEYS[i], '1', 'NX', 'EX', ARGV[1])
  if new and not new.err then
    local entry = {'*', 'id', ARGV[at], 'type', ARGV[at + 1], 'subject', ARGV[at + 2], 'key', ARGV[at + 3], 'event', ARGV[at + 4]}
    if ARGV[at + 5] ~= '' then entry[12], entry[13] = 'replay', ARGV[at + 5] end
    if ARGV[2] == '0' then
      new = redis.pcall('XADD', KEYS[1], unpack(entry))
    else
      new = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], unpack(entry))
    end
    if type(new) == 'table' and new.err and redis.pcall('SET', KEYS[i], '', 'PXAT', 1).err then
      redis.call('SET', KEYS[i], '', 'PX', 1)
    end
  end
  answers[i - 1] = type(new) == 'table' and new.err or (new and 1 or 0)
end
return answers
"""
"""Adds an entry for each event whose token was not seen: a repeat after a lost answer cannot stand in the stream twice.

Answers 1 for an entry that was added, 0 for one that was there, the error's text for one that was not taken. A script's writes are not
taken back where one of them fails, so the token of such an event is let go again; else its repeat would count as delivered and stand
nowhere. It is let go by the command that set it, which the user is known to be allowed: as of a moment that is past, or, where the server
is older than 6.2 and knows no PXAT, a thousandth of a second later.
https://redis.io/docs/latest/develop/programmability/lua-api/, https://redis.io/docs/latest/commands/set/ (read 2026-11)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The events of one call by their numbers in the batch, all of one stream."""

    stream: str
    numbers: Sequence[int]

    def words(self, batch: Sequence[Message], seconds: int, maxlen: int) -> list[Any]:
        """The command's words after the script's own text."""
        # One hash slot for all, as a cluster wants it of the keys of one script.
        keys = [f"{{{self.stream}}}:sent:{batch[number].dedupe}" for number in self.numbers]
        words = [1 + len(keys), self.stream, *keys, seconds, maxlen]
        for number in self.numbers:
            message = batch[number]
            words += (message.id, message.type, message.subject, message.partitionkey, message.body, message.replay or "")
        return words


def calls(batch: Sequence[Message], streams: Sequence[str]) -> Iterator[Call]:
    """The batch cut into calls of one stream each, within the limits; `streams` says for each event where it goes."""
    filling: dict[str, tuple[list[int], int]] = {}
    for number, stream in enumerate(streams):
        numbers, size = filling.get(stream, ([], 0))
        more = len(batch[number].body)
        if numbers and (len(numbers) == MOST or size + more > CALL_BYTES):
            yield Call(stream=stream, numbers=numbers)
            numbers, size = [], 0
        numbers.append(number)
        filling[stream] = numbers, size + more
    for stream, (numbers, _) in filling.items():
        yield Call(stream=stream, numbers=numbers)
