package contestants;

import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Which contestant takes part in which scenario. */
final class Catalogue {
    private static final List<String> ALL = List.of("spin", "yield", "block");
    /** Where more threads take part than this project's machine has cores. */
    private static final List<String> SHARED_CORES = List.of("yield", "block");
    private static final String DISRUPTOR = "disruptor-4.0.0";
    private static final String QUEUE = "array-blocking-queue";

    private record Entry(String contestant, String scenario, List<String> waits, boolean batches) {
        String json() {
            String names = waits.stream().collect(Collectors.joining("\", \"", "[\"", "\"]"));
            return "{\"contestant\": \"" + contestant + "\", \"scenario\": \"" + scenario + "\", \"waits\": "
                + names + ", \"batches\": " + batches + "}";
        }

        boolean fits(Options options) {
            return contestant.equals(options.contestant()) && scenario.equals(options.scenario())
                && waits.contains(options.waiting());
        }
    }

    private static final List<Entry> ENTRIES = Stream.of(
        Stream.of(new Entry("harness", "harness", ALL, false)),
        entries(DISRUPTOR, List.of("1p1c"), ALL, true),
        entries(DISRUPTOR, List.of("1p2c", "1pnc", "2p1c", "3p1c", "pipeline3", "diamond3"), SHARED_CORES, true),
        entries(DISRUPTOR, List.of("pingpong", "paced"), ALL, false),
        entries(DISRUPTOR, List.of("16x16"), SHARED_CORES, false),
        entries(QUEUE, List.of("1p1c", "1p2c", "2p1c", "3p1c", "pipeline3", "diamond3", "pingpong", "paced", "16x16"),
            List.of("block"), false)).flatMap(part -> part).toList();

    private Catalogue() {
    }

    private static Stream<Entry> entries(String contestant, List<String> scenarios, List<String> waits,
                                         boolean batches) {
        return scenarios.stream().map(scenario -> new Entry(contestant, scenario, waits, batches));
    }

    static String list() {
        return ENTRIES.stream().map(Entry::json).collect(Collectors.joining(",\n ", "[", "]"));
    }

    static boolean has(Options options) {
        return ENTRIES.stream().anyMatch(entry -> entry.fits(options));
    }

    static Contestant make(Options options) {
        boolean queue = options.contestant().equals(QUEUE);
        return switch (options.scenario()) {
            case "harness" -> new Harness(options);
            case "pingpong" -> queue ? new QueuePingPong(options) : new DisruptorPingPong(options);
            case "paced", "16x16" -> queue ? new QueuePaced(options) : new DisruptorPaced(options);
            default -> queue ? new QueueThroughput(options) : new DisruptorThroughput(options);
        };
    }
}
