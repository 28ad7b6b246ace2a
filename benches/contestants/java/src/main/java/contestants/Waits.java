package contestants;

import com.lmax.disruptor.BlockingWaitStrategy;
import com.lmax.disruptor.BusySpinWaitStrategy;
import com.lmax.disruptor.WaitStrategy;
import com.lmax.disruptor.YieldingWaitStrategy;

/** The Disruptor's wait strategy for each word of the command line. */
final class Waits {
    private Waits() {
    }

    static WaitStrategy named(String name) {
        return switch (name) {
            case "spin" -> new BusySpinWaitStrategy();
            case "yield" -> new YieldingWaitStrategy();
            default -> new BlockingWaitStrategy();
        };
    }
}
