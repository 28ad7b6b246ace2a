package contestants;

import java.util.List;
import java.util.stream.Collectors;

/** Which contestant takes part in which scenario. */
final class Catalogue {
    private static final List<String> ALL = List.of("spin", "yield", "block");
    private static final String DISRUPTOR = "disruptor-4.0.0";

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

    private static final List<Entry> ENTRIES = List.of(
        new Entry("harness", "harness", ALL, false),
        new Entry(DISRUPTOR, "1p1c", ALL, true));

    private Catalogue() {
    }

    static String list() {
        return ENTRIES.stream().map(Entry::json).collect(Collectors.joining(",\n ", "[", "]"));
    }

    static boolean has(Options options) {
        return ENTRIES.stream().anyMatch(entry -> entry.fits(options));
    }

    static Contestant make(Options options) {
        return switch (options.contestant()) {
            case "harness" -> new Harness(options);
            default -> new DisruptorThroughput(options);
        };
    }
}
