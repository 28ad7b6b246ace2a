"""What the commands that look into rings print: bars, sizes, tables, the graph as a tree."""

from __future__ import annotations

import dataclasses

import pytest

from ringbus.cli.text import bar, columns, printable, short, size, tree
from ringbus.cli.top import _cut
from ringbus.watching import ConsumerView


def consumer(name: str, *depends_on: str) -> ConsumerView:
    return ConsumerView(name, "live", 1, -1, 0, True, False, depends_on, 0, 0, 0, 0, 0)


def drawn(*consumers: ConsumerView) -> list[str]:
    return [lead + each.name for lead, each in tree(consumers)]


def test_each_consumer_stands_below_the_first_that_it_follows():
    found = drawn(consumer("a"), consumer("b", "a"), consumer("c", "b", "a"), consumer("d", "a"), consumer("e"))
    assert found == ["├─ a", "│  ├─ b", "│  │  └─ c", "│  └─ d", "└─ e"]


@pytest.mark.parametrize(
    "consumers",
    [
        [consumer("a", "b"), consumer("b", "a")],
        [consumer("a", "a")],
        [consumer("a", "b"), consumer("b", "c"), consumer("c", "b")],
        [consumer("a", "gone")],
    ],
)
def test_a_graph_that_contradicts_itself_is_drawn_whole(consumers):
    """A segment's words may say anything."""
    assert sorted(each.name for _, each in tree(consumers)) == sorted(each.name for each in consumers)


def test_a_bar_is_as_wide_as_its_part_and_never_wider():
    assert [bar(part, 4) for part in (-1, 0, 0.5, 1, 7)] == ["····", "····", "██··", "████", "████"]
    assert {len(bar(part / 100)) for part in range(-10, 120)} == {8}


def test_numbers_are_short():
    assert [short(number) for number in (0, 7.4, 999, 1000, 1_234_567, 5e9)] == [
        "0",
        "7",
        "999",
        "1.0 k",
        "1.2 M",
        "5.0 G",
    ]
    assert [size(count) for count in (0, 1023, 1024, 1 << 20, 1 << 45)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.0 MiB",
        "32.0 TiB",
    ]


def test_tables_are_aligned():
    assert columns([("a", "1"), ("long", "22")], right=frozenset((1,))) == ["a      1", "long  22"]


def test_what_a_terminal_would_act_on_is_replaced():
    assert printable("a\x1b[2J\n\u202eb") == "a?[2J??b"


def test_a_line_is_cut_where_the_terminal_ends_and_colours_take_no_room():
    assert _cut("\x1b[31mabcdef\x1b[0m", 3) == "\x1b[31mabc"
    assert _cut("abc", 10) == "abc"


def test_a_view_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        consumer("a").name = "b"  # type: ignore[misc] # that is the point
