"""Events as objects: how they are made, compared, copied, kept, and what they refuse."""

import copy
import enum
import gc
import pickle
import sys
import types
import weakref

import numpy as np
import pytest

import ringbus
from ringbus import LayoutError, SchemaError


class Side(enum.IntEnum):
    BUY = 1
    SELL = 2


class Trade(ringbus.Event):
    symbol: str = ringbus.text(16)
    price: float
    quantity: float
    notional: float = 0.0


class Priced(Trade):
    """Has what a class may have beside fields."""

    side: Side = Side.BUY
    levels: np.ndarray = ringbus.array("f8", 2, default=[0.0, 0.0])

    def compute(self):
        self.notional = self.price * self.quantity
        return self

    @property
    def doubled(self):
        return self.price * 2

    @doubled.setter
    def doubled(self, value):
        self.price = value / 2

    @classmethod
    def free(cls, symbol):
        return cls(symbol=symbol, price=0.0, quantity=1.0)

    @staticmethod
    def unit():
        return "USD"


class Quote(ringbus.Event):
    bid: float


def trade(**fields):
    return Trade(**{"symbol": "BTC-USD", "price": 1.5, "quantity": 2.0, **fields})


def priced(**fields):
    return Priced(**{"symbol": "BTC-USD", "price": 1.5, "quantity": 2.0, **fields})


def uninterned(name):
    """An equal string that is another object than the one the source has."""
    return "".join(list(name))


def test_methods_and_properties_are_kept():
    event = priced().compute()
    assert event.notional == 3.0
    event.doubled = 10.0
    assert (event.doubled, event.price) == (10.0, 5.0)
    assert Priced.free("X").symbol == "X"
    assert Priced.unit() == event.unit() == "USD"
    assert Priced.__doc__ == "Has what a class may have beside fields."


def test_a_method_that_comes_later_is_found():
    class Late(ringbus.Event):
        price: float

    Late.doubled = lambda self: self.price * 2
    assert Late(price=2.0).doubled() == 4.0


def test_a_class_without_methods_and_one_with_them_read_alike():
    for event in (trade(), priced()):
        assert (event.symbol, event.price, event.quantity, event.notional) == ("BTC-USD", 1.5, 2.0, 0.0)
        assert getattr(event, uninterned("price")) == 1.5
        event.price = 4.0
        setattr(event, uninterned("quantity"), 5.0)
        assert (event.price, event.quantity) == (4.0, 5.0)
        assert type(event).price.__get__(event) == 4.0
        assert not hasattr(event, "prise")


def test_a_class_may_look_attributes_up_itself():
    class Lenient(ringbus.Event):
        price: float

        def __getattr__(self, name):
            return f"no {name}"

    assert (Lenient(price=1.0).price, Lenient(price=1.0).prise) == (1.0, "no prise")


def test_a_class_may_have_an_init_of_its_own():
    class Own(ringbus.Event):
        price: float
        quantity: float = 1.0

        def __init__(self, price, factor=1):
            super().__init__(price=price * factor)

    assert (Own(2.0).price, Own(2.0, factor=3).price, Own(2.0).quantity) == (2.0, 6.0, 1.0)
    assert pickle.loads(pickle.dumps(OwnInit(2.0))) == OwnInit(2.0)


class OwnInit(ringbus.Event):
    price: float

    def __init__(self, price):
        super().__init__(price=price)


def test_new_alone_gives_the_defaults():
    event = Priced.__new__(Priced)
    assert (event.symbol, event.price, event.side, event.notional) == ("", 0.0, Side.BUY, 0.0)


def test_classes_without_fields_have_no_instances():
    class Mixin(ringbus.Event):
        def doubled(self):
            return self.price * 2

    for cls in (ringbus.Event, Mixin):
        with pytest.raises(SchemaError, match=f"{cls.__name__} has no fields; derive a class"):
            cls()
        with pytest.raises(SchemaError, match="has no fields"):
            cls.__new__(cls)

    class Tick(Mixin):
        price: float

    assert Tick(price=1.0).doubled() == 2.0


def test_an_event_has_no_other_attributes():
    event = trade()
    with pytest.raises(AttributeError, match="prise"):
        event.prise = 1.0
    with pytest.raises(AttributeError):
        _ = event.prise
    with pytest.raises(AttributeError):
        event.published_ns = 1
    with pytest.raises(SchemaError, match=r"Trade\.price cannot be deleted"):
        del event.price
    assert not hasattr(event, "__dict__")
    with pytest.raises(TypeError, match="weak reference"):
        weakref.ref(event)


def test_events_compare_by_fields():
    assert trade() == trade()
    assert trade() != trade(price=2.0)
    assert trade() != priced()
    assert trade() != "BTC-USD"
    assert priced(levels=[1.0, 2.0]) == priced(levels=[1.0, 2.0])
    assert priced(levels=[1.0, 2.0]) != priced(levels=[1.0, 3.0])
    assert trade(price=float("nan")) != trade(price=float("nan"))


def test_events_cannot_be_hashed():
    with pytest.raises(TypeError, match="unhashable type: 'Trade'"):
        hash(trade())


def test_the_repr_can_be_read():
    assert repr(trade()) == "Trade(symbol='BTC-USD', price=1.5, quantity=2.0, notional=0.0)"


def test_asdict_has_the_fields_in_order():
    assert trade().asdict() == {"symbol": "BTC-USD", "price": 1.5, "quantity": 2.0, "notional": 0.0}
    assert list(trade().asdict()) == list(Trade.dtype.names)


@pytest.mark.parametrize("make", [lambda event: event.copy(), copy.copy, copy.deepcopy])
def test_a_copy_is_an_event_of_its_own(make):
    event = priced()
    other = make(event)
    event.price = 9.0
    event.levels = [7.0, 7.0]
    assert type(other) is Priced
    assert other == priced()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_events_are_pickled_by_their_fields(protocol):
    event = priced(side=Side.SELL, levels=[1.0, 2.0])
    assert pickle.loads(pickle.dumps(event, protocol)) == event


def test_a_record_has_the_fields_and_goes_back():
    event = priced(side=Side.SELL, levels=[1.0, 2.0])
    record = event.record()
    assert isinstance(record, np.void)
    assert record.dtype == Priced.dtype
    assert (record["symbol"], record["side"], record["levels"].tolist()) == (b"BTC-USD", 2, [1.0, 2.0])
    event.price = 9.0
    assert record["price"] == 1.5
    assert Priced.from_record(record, published_ns=5).published_ns == 5
    assert Priced.from_record(np.array(record)) == Priced.from_record(record)


@pytest.mark.parametrize(
    "wrong",
    [trade().record(), np.zeros(2, Quote.dtype), np.zeros(1, Quote.dtype), 1.0, (1.0,)],
    ids=["another", "two", "one-dimensional", "float", "tuple"],
)
def test_another_record_is_refused(wrong):
    with pytest.raises(LayoutError, match="no record of Quote"):
        Quote.from_record(wrong)


def test_an_event_that_was_not_published_has_no_publish_time():
    assert trade().published_ns == 0


def test_the_publish_time_goes_with_copies_and_pickles():
    event = Trade.from_record(trade().record(), published_ns=1234)
    assert event.copy().published_ns == 1234
    assert pickle.loads(pickle.dumps(event)).published_ns == 1234


def test_classes_make_a_union():
    assert isinstance(Trade | Quote, types.UnionType)
    assert (Trade | Quote).__args__ == (Trade, Quote)


def test_events_are_none_of_the_collectors_business():
    events = [trade() for _ in range(2_000)]
    assert not any(gc.is_tracked(event) for event in events)
    ring = [*events, priced()]
    ring.append(ring)
    del ring
    gc.collect()
    assert gc.get_referents(events[0]) == []
    assert all(event == events[0] for event in events)


def test_making_and_reading_events_keeps_no_memory():
    def churn():
        for number in range(1_000):
            event = priced(symbol=f"S{number}")
            assert event.symbol == f"S{number}"
            _ = event.levels, event.side, event.copy(), event.record(), event.asdict()

    churn()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(5):
        churn()
    gc.collect()
    assert sys.getallocatedblocks() - before < 200


def test_the_size_counts_the_data():
    assert sys.getsizeof(priced()) - sys.getsizeof(Quote(bid=1.0)) == Priced.dtype.itemsize - Quote.dtype.itemsize


def test_an_event_keeps_its_class_and_schema_alive():
    class Brief(ringbus.Event):
        price: float
        name: str = ringbus.text(8, default="abc")

    event, known = Brief(price=1.0), weakref.ref(Brief)
    type.__delattr__(Brief, "__schema__")
    del Brief
    gc.collect()
    assert known() is not None
    assert (event.copy().price, event.name) == (1.0, "abc")
    event.price = 2.0
    del event
    gc.collect()
    assert known() is None


def test_an_event_cannot_be_given_a_class_of_another_layout():
    class Wide(Trade):
        fee: float = 0.0

    class Alike(ringbus.Event):
        symbol: str = ringbus.text(16)
        price: float
        quantity: float
        notional: float = 0.0

    assign = vars(object)["__class__"].__set__
    for other in (Wide, Alike, Quote, ringbus.Event, Priced):
        with pytest.raises(TypeError):
            assign(trade(), other)
    with pytest.raises(TypeError):
        Wide.__bases__ = (Quote,)


def test_the_descriptor_of_another_class_is_refused():
    with pytest.raises(TypeError, match="doesn't apply to a 'Quote' object"):
        vars(Trade)["price"].__get__(Quote(bid=1.0))
    assert vars(Trade)["price"].__get__(priced()) == 1.5


def test_a_del_method_runs_once():
    ended = []

    class Ending(ringbus.Event):
        price: float

        def __del__(self):
            ended.append(self.price)

    event = Ending(price=1.0)
    assert Ending(price=2.0).copy().price == 2.0
    del event
    assert sorted(ended) == [1.0, 2.0, 2.0]


def test_a_metaclass_of_its_own_may_make_the_call():
    class Counting(type(ringbus.Event)):
        calls = 0

        def __call__(cls, *args, **kwargs):
            Counting.calls += 1
            return super().__call__(*args, **kwargs)

    class Counted(ringbus.Event, metaclass=Counting):
        price: float

    assert Counted(price=1.0).price == 1.0
    assert Counting.calls == 1


def test_a_generic_call_reaches_the_same_constructor():
    fields = {"symbol": "X", "price": 1.0, "quantity": 2.0}
    assert type.__call__(Trade, **fields) == Trade(**fields)
    with pytest.raises(SchemaError, match="by name only"):
        type.__call__(Trade, "X")
    event = trade()
    event.__init__(**fields)
    assert event == Trade(**fields)
