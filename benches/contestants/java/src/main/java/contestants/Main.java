package contestants;

/** One measure of one contestant in a fresh process: prints one line of JSON. */
public final class Main {
    private static final int WARM_UP_PASSES = 2;

    private Main() {
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length == 1 && arguments[0].equals("--list")) {
            System.out.println(Catalogue.list());
            return;
        }
        Options options = Options.parse(arguments);
        if (!Catalogue.has(options)) {
            System.err.println("not there: " + options.contestant() + " in " + options.scenario()
                + " with --wait " + options.waiting() + "; --list names what is");
            System.exit(3);
        }
        System.out.println(Report.of(options, measure(options)));
        System.exit(0);
    }

    private static Result measure(Options options) throws Exception {
        Contestant contestant = Catalogue.make(options);
        for (int pass = 0; pass < WARM_UP_PASSES && contestant.wantsWarmUp(); pass++) {
            contestant.pass(options.events());
        }
        return contestant.pass(options.events());
    }
}
