package contestants;

import java.util.HashMap;
import java.util.Map;

/** What the command line asks for. */
record Options(Map<String, String> given) {
    static Options parse(String[] arguments) {
        if (arguments.length % 2 != 0) {
            throw new IllegalArgumentException("each option has one value; the number of words is odd: "
                + String.join(" ", arguments));
        }
        Map<String, String> given = new HashMap<>();
        for (int i = 0; i < arguments.length; i += 2) {
            given.put(arguments[i].replaceFirst("^--", ""), arguments[i + 1]);
        }
        return new Options(given);
    }

    String scenario() {
        return given.getOrDefault("scenario", "1p1c");
    }

    String contestant() {
        return given.getOrDefault("contestant", "disruptor-4.0.0");
    }

    String waiting() {
        return given.getOrDefault("wait", "yield");
    }

    boolean toAll() {
        return given.getOrDefault("mode", "one").equals("all");
    }

    long events() {
        return number("events", 10_000_000);
    }

    int size() {
        return (int) number("size", 64);
    }

    int capacity() {
        return (int) number("capacity", 65_536);
    }

    int batch() {
        return (int) number("batch", 1);
    }

    double rate() {
        return Double.parseDouble(given.getOrDefault("rate", "100000"));
    }

    double seconds() {
        return Double.parseDouble(given.getOrDefault("seconds", "5"));
    }

    double warmUp() {
        return Double.parseDouble(given.getOrDefault("warmup", "1"));
    }

    int producers() {
        return switch (scenario()) {
            case "2p1c" -> 2;
            case "3p1c" -> 3;
            case "16x16" -> (int) number("producers", 16);
            default -> 1;
        };
    }

    int consumers() {
        return switch (scenario()) {
            case "16x16" -> (int) number("consumers", 16);
            case "1pnc" -> (int) number("consumers", 1);
            case "1p2c" -> 2;
            default -> 1;
        };
    }

    private long number(String name, long otherwise) {
        String text = given.get(name);
        return text == null ? otherwise : Long.parseLong(text);
    }
}
