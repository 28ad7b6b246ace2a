"""The tree of errors: what each is, what it says, and that it survives pickling."""

import inspect
import pickle

import pytest

import ringbus
from ringbus import errors

EVERY = [
    (errors.ConfigurationError("wait='slow' is no strategy", "use 'blocking'"), ValueError),
    (errors.SchemaError("Trade has no field 'prise'", "did you mean 'price'?"), TypeError),
    (errors.FieldError("Trade.price", "1", "takes a float", "pass a number"), ValueError),
    (errors.CapacityError("a capacity is a power of two", 1000, "use 1024"), ValueError),
    (errors.TopologyError("'a' depends on itself", "cut the cycle"), ValueError),
    (errors.WaitTimeout("claiming 1 slot", 0.5, ("risk", "book")), TimeoutError),
    (errors.ClosedError("ring 'x'"), RuntimeError),
    (errors.ClaimError("a claim is open", "end it first"), RuntimeError),
    (errors.KeptViewError("consumer 'bars'", 7), BufferError),
    (errors.HandlerError("price", 3, "Trade(price=1.0)", "it declined"), RuntimeError),
    (errors.CompilationError("vwap", "handlers.py", 7, "no field 'prise'"), TypeError),
    (errors.ReturnCodeError(-3), RuntimeError),
    (errors.SourceError("fill", 7), RuntimeError),
    (errors.RemoteError("builtins.ValueError", "no price", "Traceback ..."), RuntimeError),
    (errors.HaltedError("pipeline", "price failed"), RuntimeError),
    (errors.ForkedError("ring 'x'", 17), RuntimeError),
    (errors.PeerDiedError("risk", "its process ended"), ConnectionError),
    (errors.EvictedError("risk", 41, 7), RuntimeError),
    (errors.RingNotFoundError("no ring is called 'trades'", "/dev/shm/trades"), FileNotFoundError),
    (errors.RingExistsError("/dev/shm/trades", ["risk"]), FileExistsError),
    (errors.RingReplacedError("trades"), ConnectionError),
    (errors.LayoutError("another dtype", "f4", "f8"), ValueError),
    (errors.FeedError("tape.gz", 12, "no JSON"), ValueError),
]
IDS = [type(error).__name__ for error, _ in EVERY]
OURS = [error for error, _ in EVERY if not isinstance(error, errors.RemoteError)]


def test_every_error_of_the_tree_is_tested_here():
    classes = inspect.getmembers(errors, inspect.isclass)
    tree = {value for name, value in classes if issubclass(value, errors.RingBusError) and name[0] != "_"}
    assert tree == {type(error) for error, _ in EVERY} | {errors.RingBusError}


@pytest.mark.parametrize(("error", "builtin"), EVERY, ids=IDS)
def test_each_error_is_a_fitting_builtin_under_one_base(error, builtin):
    assert isinstance(error, builtin)
    assert isinstance(error, ringbus.RingBusError)
    assert getattr(ringbus, type(error).__name__) is type(error)


@pytest.mark.parametrize("error", OURS, ids=lambda error: type(error).__name__)
def test_each_message_is_one_line_of_fact_and_remedy(error):
    fact, _, remedy = str(error).rpartition("; ")
    assert fact
    assert remedy
    assert "\n" not in str(error)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(("error", "_builtin"), EVERY, ids=IDS)
def test_each_error_survives_pickling(error, _builtin, protocol):
    copy = pickle.loads(pickle.dumps(error, protocol))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_a_remote_error_shows_the_traceback_it_came_with():
    error = errors.RemoteError("builtins.ValueError", "no price", "Traceback ...")
    assert str(error).splitlines()[0] == "builtins.ValueError: no price"
    assert str(error).endswith("Traceback ...")


def test_notes_survive_pickling():
    error = errors.ClosedError("ring 'x'")
    error.add_note("while draining")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["while draining"]


def test_a_value_that_cannot_be_pickled_is_pickled_as_text():
    error = errors.FieldError("Trade.price", lambda: 1, "takes a float", "pass a number")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert copy.value.startswith("<function")


def test_a_derived_error_survives_pickling():
    copy = pickle.loads(pickle.dumps(TapeError("tape.gz", 12)))
    assert (type(copy), copy.path, str(copy)) == (TapeError, "tape.gz", str(TapeError("tape.gz", 12)))


class TapeError(errors.FeedError):
    def __init__(self, path, line):
        super().__init__(path, line, "the tape is cut")


def test_a_long_value_is_shown_cut():
    error = errors.FieldError("Trade.symbol", "x" * 500, "takes at most 16 bytes", "shorten it")
    assert len(str(error)) < 200
    assert error.value == "x" * 500


def test_a_value_without_repr_is_shown_all_the_same():
    class Rude:
        def __repr__(self):
            raise ZeroDivisionError

    message = str(errors.FieldError("Trade.price", Rude(), "takes a float", "pass a number"))
    assert "<Rude whose repr raises ZeroDivisionError>" in message


def test_a_time_out_names_who_held_it_up():
    assert "'risk', 'book'" in str(errors.WaitTimeout("claiming 1 slot", 0.5, ("risk", "book")))
    assert errors.WaitTimeout("claiming 1 slot", 0.5).laggards == ()


def test_a_feed_error_of_a_whole_file_names_no_line():
    assert str(errors.FeedError("tape.gz", 0, "it is empty")).startswith("tape.gz: it is empty")
    assert str(errors.FeedError("tape.gz", 12, "no JSON")).startswith("tape.gz:12: no JSON")
