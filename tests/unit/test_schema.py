"""From annotations to a layout: which there are, and which are refused."""

import enum
import json
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest

import ringbus
from ringbus import FieldError, SchemaError, _core
from support.schemas import Everything, Level, Side, Trade, declared

# -- the layout -------------------------------------------------------------------------------------------------------


def test_the_type_is_an_aligned_structured_type():
    assert Trade.dtype == np.dtype(
        [("symbol", "S16"), ("price", "f8"), ("quantity", "f8"), ("notional", "f8")], align=True
    )
    assert Everything.dtype.isalignedstruct
    assert Everything.dtype.itemsize % Everything.dtype.alignment == 0


def test_arrays_of_the_type_survive_a_file(tmp_path):
    rows = np.zeros(3, Everything.dtype)
    rows["name"] = b"abc"
    rows["grid"] = 7
    np.save(tmp_path / "rows.npy", rows)
    loaded = np.load(tmp_path / "rows.npy")
    assert loaded.dtype == Everything.dtype
    assert np.array_equal(loaded, rows)
    assert Everything.from_record(loaded[1]).grid.tolist() == [[7, 7, 7], [7, 7, 7]]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_arrays_of_the_type_become_data_frames(library):
    module = pytest.importorskip(library)
    rows = np.array([(b"A", 1.0, 2.0, 3.0), (b"B", 4.0, 5.0, 6.0)], Trade.dtype)
    frame = module.DataFrame(rows)
    assert list(frame.columns) == ["symbol", "price", "quantity", "notional"]
    assert list(frame["notional"]) == [3.0, 6.0]


def test_inheritance_adds_fields_at_the_end():
    class Fill(Trade):
        fee: float = 0.0

    assert Fill.dtype.names == (*Trade.dtype.names, "fee")
    assert [Fill.dtype.fields[name] for name in Trade.dtype.names] == [
        Trade.dtype.fields[name] for name in Trade.dtype.names
    ]
    assert Fill(symbol="X", price=1.0, quantity=2.0, fee=0.5).fee == 0.5


def test_a_derived_class_may_change_a_default_and_nothing_else():
    class Odd(Trade):
        quantity: float = 1.0

    assert Odd.dtype == Trade.dtype
    assert Odd(symbol="X", price=1.0).quantity == 1.0
    with pytest.raises(SchemaError, match=r"Bad.price is declared again as int32, and was float64"):

        class Bad(Trade):
            price: ringbus.int32


def test_a_class_variable_is_no_field():
    class Tick(ringbus.Event):
        venue: ClassVar[str] = "X"
        price: float

    assert Tick.dtype.names == ("price",)
    assert Tick(price=1.0).venue == "X"


def test_string_annotations_see_the_class_the_function_and_the_module():
    class Local(enum.Enum):
        A = 1

    class Note(ringbus.Event):
        class Inner(enum.Enum):
            B = 2

        local: "Local"
        inner: "Inner"
        side: "Side"
        size: "ringbus.int16"

    note = Note(local=Local.A, inner=Note.Inner.B, side=Side.SELL, size=-3)
    assert (note.local, note.inner, note.side, note.size) == (Local.A, Note.Inner.B, Side.SELL, -3)


def test_other_metadata_of_an_annotation_is_left_alone():
    class Tick(ringbus.Event):
        price: Annotated[float, "in dollars"]
        size: Annotated[ringbus.int16, "lots"]

    assert Tick.dtype == np.dtype([("price", "f8"), ("size", "i2")], align=True)


def test_the_hash_is_stable_and_knows_names_types_and_places():
    def hashed(**fields):
        body = {"__annotations__": dict.fromkeys(fields), "__module__": __name__}
        body["__annotations__"] = {name: annotation for name, (annotation, _) in fields.items()}
        body |= {name: value for name, (_, value) in fields.items() if value is not None}
        return type(ringbus.Event)("Made", (ringbus.Event,), body).__schema__.hash

    first = hashed(a=(int, None), b=(float, None))
    assert first == hashed(a=(int, 4), b=(float, None))
    others = [
        hashed(b=(float, None), a=(int, None)),
        hashed(a=(int, None), c=(float, None)),
        hashed(a=(int, None), b=(ringbus.float32, None)),
        hashed(a=(int, None)),
        hashed(a=(ringbus.uint64, None), b=(float, None)),
    ]
    assert len({first, *others}) == 6
    assert Trade.__schema__.hash == 0xFC236976AF19C885


def test_the_layout_is_stored_as_json():
    layout = json.loads(Everything.__schema__.json)
    assert layout["event"] == "Everything"
    assert layout["itemsize"] == Everything.dtype.itemsize
    assert len(bytes.fromhex(layout["defaults"])) == layout["itemsize"]
    by_name = {field["name"]: field for field in layout["fields"]}
    assert list(by_name) == list(Everything.dtype.names)
    assert by_name["side"]["members"] == {"BUY": 1, "SELL": -1}
    assert by_name["money"]["places"] == 2
    for name, field in by_name.items():
        assert field["offset"] == Everything.dtype.fields[name][1]
        assert field["size"] == Everything.dtype.fields[name][0].itemsize


def test_the_native_schema_checks_what_it_is_told():
    dtype = np.dtype([("a", "f4")])
    with pytest.raises(ValueError, match="ends behind the event"):
        _core.Schema("Bad", dtype, [("a", "f8", "<f8", 0, 8, None, True, None)], "{}")
    with pytest.raises(ValueError, match="4 bytes are no F64"):
        _core.Schema("Bad", dtype, [("a", "f8", "<f8", 0, 4, None, True, None)], "{}")
    with pytest.raises(ValueError, match="no field kind"):
        _core.Schema("Bad", dtype, [("a", "odd", "<f4", 0, 4, None, True, None)], "{}")
    with pytest.raises(ValueError, match="bound already"):
        _core.bind(Trade, Trade.__schema__, methods=False)
    with pytest.raises(ValueError, match="no Event class"):
        _core.bind(int, Trade.__schema__, methods=False)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "remedy"),
    [
        (str, r"thing: str = ringbus\.text\(16\)"),
        (bytes, r"thing: bytes = ringbus\.blob\(64\)"),
        (Decimal, r"thing: Decimal = ringbus\.decimal\(2\)"),
        (np.ndarray, r"ringbus\.array\('f8', 3\)"),
        (np.datetime64, r"ringbus\.field\('datetime64\[ns\]'\)"),
        (list, r"no fixed layout; use int, float"),
        (float | None, r"float \| None, which has no fixed layout"),
        (Any, r"no fixed layout"),
        ("Unknown", r"cannot be evaluated .*Unknown"),
    ],
)
def test_an_annotation_without_a_layout_is_refused(annotation, remedy):
    with pytest.raises(SchemaError, match=remedy):
        declared(annotation)


@pytest.mark.parametrize("name", ["dtype", "copy", "asdict", "record", "from_record", "published_ns", "_x", "__x"])
def test_a_name_that_events_need_is_refused(name):
    with pytest.raises(SchemaError, match=r"need themselves|underscore"):
        declared(float, name=name)


def test_a_declaration_without_an_annotation_is_refused():
    with pytest.raises(SchemaError, match=r"Bad\.name has no annotation"):

        class Bad(ringbus.Event):
            name = ringbus.text(16)


def test_a_declaration_that_contradicts_its_annotation_is_refused():
    with pytest.raises(SchemaError, match=r"annotated float but declared text; annotate str"):
        declared(float, ringbus.text(16))
    with pytest.raises(SchemaError, match=r"annotated str but declared blob"):
        declared(str, ringbus.blob(16))


def test_slots_and_dictionaries_are_refused():
    with pytest.raises(SchemaError, match="__slots__ of its own"):

        class Slotted(ringbus.Event):
            __slots__ = ("extra",)
            price: float

    class Mixin:
        pass

    with pytest.raises(SchemaError, match=r"give every mixin `__slots__ = \(\)`"):

        class Mixed(Mixin, ringbus.Event):
            price: float


def test_a_mixin_without_a_dictionary_is_welcome():
    class Mixin:
        __slots__ = ()

        def doubled(self):
            return self.price * 2

    class Mixed(Mixin, ringbus.Event):
        price: float

    assert Mixed(price=2.0).doubled() == 4.0


def test_two_bases_with_fields_are_refused():
    class Quote(ringbus.Event):
        bid: float

    with pytest.raises(SchemaError, match="inherits fields from Trade and Quote"):

        class Both(Trade, Quote):
            pass


def test_nothing_may_hide_an_inherited_field():
    with pytest.raises(SchemaError, match=r"Bad\.price hides a field of its base"):

        class Bad(Trade):
            @property
            def price(self):
                return 1.0


def test_a_field_of_a_class_cannot_be_replaced():
    with pytest.raises(SchemaError, match=r"Trade\.price is a field and cannot be replaced"):
        Trade.price = 1.0


def test_a_default_that_does_not_fit_is_refused_with_the_class():
    with pytest.raises(FieldError, match=r"Bad\.thing takes at most 2 bytes of UTF-8 \(this has 3\)"):
        declared(str, ringbus.text(2, default="abc"))
    with pytest.raises(FieldError, match=r"Bad\.thing takes an int from -128 to 127"):
        declared(ringbus.int8, 128)
    with pytest.raises(FieldError, match=r"Bad\.thing takes a float"):
        declared(float, lambda self: 1.0)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: ringbus.text(0), "from 1 on, got 0"),
        (lambda: ringbus.text(True), "got True"),
        (lambda: ringbus.text(2.0), "got 2.0"),
        (lambda: ringbus.blob(-1), "got -1"),
        (lambda: ringbus.array("f8", 0), "positive lengths"),
        (lambda: ringbus.array("f8", ()), "positive lengths"),
        (lambda: ringbus.array(("f8", 3), 2), "one element"),
        (lambda: ringbus.array("O", 2), "cannot hold Python objects"),
        (lambda: ringbus.field(object), "cannot hold Python objects"),
        (lambda: ringbus.field("U"), "fixed size"),
        (lambda: ringbus.field(">f8"), "little-endian"),
        (lambda: ringbus.field([("a", ">i4")]), "little-endian"),
        (lambda: ringbus.field("nonsense"), "takes a NumPy type"),
        (lambda: ringbus.decimal(19), "0 to 18 places"),
        (lambda: ringbus.decimal(-1), "0 to 18 places"),
    ],
)
def test_a_declaration_says_what_it_takes(make, match):
    with pytest.raises(SchemaError, match=match):
        make()


def test_an_enumeration_needs_numbers_that_fit():
    class Word(enum.Enum):
        A = "a"

    with pytest.raises(SchemaError, match=r"Word.A has the value 'a', which int64 cannot hold"):
        declared(Word)
    with pytest.raises(SchemaError, match=r"Level.HIGH has the value .*int8 cannot hold"):
        declared(Level, ringbus.field("i1"))
    with pytest.raises(SchemaError, match="stores an enumeration as float64"):
        declared(Side, ringbus.field("f8"))
