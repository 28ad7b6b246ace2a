package contestants;

import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/** The line of JSON that the runner reads. */
final class Report {
    private Report() {
    }

    static String of(Options options, Result result) {
        StringBuilder text = new StringBuilder("{");
        text.append(field("contestant", quoted(options.contestant())));
        text.append(field("scenario", quoted(options.scenario())));
        text.append(field("events", result.events()));
        text.append(field("seconds", String.format(Locale.ROOT, "%.9f", result.seconds())));
        text.append(field("checksum", quoted(Long.toUnsignedString(result.checksum()))));
        text.append(field("mean_batch", meanBatch(result)));
        text.append(field("wait", quoted(options.waiting())));
        text.append(field("latency", latency(result)));
        addPaced(text, result);
        return text.append("\"runtime\": ").append(quoted(runtime())).append('}').toString();
    }

    private static void addPaced(StringBuilder text, Result result) {
        if (result.windows() != null) {
            text.append(field("windows", result.windows().stream().map(Histogram::json)
                .collect(Collectors.joining(",", "[", "]"))));
        }
        if (result.sent() != null) {
            text.append(field("sent", Arrays.toString(result.sent())));
        }
    }

    private static String latency(Result result) {
        return result.latency() == null ? "null"
            : "{\"unit\": \"ns\", \"buckets\": " + result.latency().json() + "}";
    }

    private static String meanBatch(Result result) {
        return result.meanBatch() == 0 ? "null" : String.format(Locale.ROOT, "%.3f", result.meanBatch());
    }

    private static String runtime() {
        return "openjdk " + System.getProperty("java.version") + ", default flags";
    }

    private static String field(String name, Object value) {
        return quoted(name) + ": " + value + ", ";
    }

    private static String quoted(String text) {
        return '"' + text + '"';
    }
}
