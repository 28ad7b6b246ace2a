"""ringbus: the LMAX Disruptor for Python, and the event bus on top of it."""

from __future__ import annotations

import sys as _sys

if _sys.platform != "linux":
    raise ImportError(f"ringbus runs on Linux, and this is {_sys.platform}; use a Linux machine, container or WSL")

from ringbus import startup as startup  # first: what it does is for the imports that follow
from ringbus._core import __version__
from ringbus.consumer import Consumer
from ringbus.errors import (
    CapacityError,
    ClaimError,
    ClosedError,
    CompilationError,
    ConfigurationError,
    EvictedError,
    FeedError,
    FieldError,
    ForkedError,
    HaltedError,
    HandlerError,
    KeptViewError,
    LayoutError,
    PeerDiedError,
    RemoteError,
    ReturnCodeError,
    RingBusError,
    RingExistsError,
    RingNotFoundError,
    RingReplacedError,
    SchemaError,
    SourceError,
    TopologyError,
    WaitTimeout,
)
from ringbus.event import Event
from ringbus.fields import (
    array,
    blob,
    decimal,
    field,
    float32,
    int8,
    int16,
    int32,
    int64,
    text,
    uint8,
    uint16,
    uint32,
    uint64,
)
from ringbus.group import ConsumerGroup
from ringbus.handlers import batch
from ringbus.library import get_include, get_library
from ringbus.machine import compiled
from ringbus.policies import DECLINE, Policy
from ringbus.poller import EventPoller
from ringbus.producer import Producer
from ringbus.remote import Restart
from ringbus.ring import RingBuffer
from ringbus.sharing import attach
from ringbus.source import Source
from ringbus.statistics import ConsumerStatistics, GroupStatistics, LatencyStatistics, RingStatistics
from ringbus.subscription import Subscription
from ringbus.waits import Blocking, BusySpin, PhasedBackoff, Sleeping, Yielding

__all__ = [
    "DECLINE",
    "Blocking",
    "BusySpin",
    "CapacityError",
    "ClaimError",
    "ClosedError",
    "CompilationError",
    "ConfigurationError",
    "Consumer",
    "ConsumerGroup",
    "ConsumerStatistics",
    "Event",
    "EventPoller",
    "EvictedError",
    "FeedError",
    "FieldError",
    "ForkedError",
    "GroupStatistics",
    "HaltedError",
    "HandlerError",
    "KeptViewError",
    "LatencyStatistics",
    "LayoutError",
    "PeerDiedError",
    "PhasedBackoff",
    "Policy",
    "Producer",
    "RemoteError",
    "Restart",
    "ReturnCodeError",
    "RingBuffer",
    "RingBusError",
    "RingExistsError",
    "RingNotFoundError",
    "RingReplacedError",
    "RingStatistics",
    "SchemaError",
    "Sleeping",
    "Source",
    "SourceError",
    "Subscription",
    "TopologyError",
    "WaitTimeout",
    "Yielding",
    "__version__",
    "array",
    "attach",
    "batch",
    "blob",
    "compiled",
    "decimal",
    "field",
    "float32",
    "get_include",
    "get_library",
    "int8",
    "int16",
    "int32",
    "int64",
    "text",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]
