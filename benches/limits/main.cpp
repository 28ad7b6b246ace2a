// The limits of this machine: raw rings, and the cost of the harness itself. What any ring is measured against.

#include <cstring>
#include <string>

#include "scenarios.hpp"

namespace {

constexpr const char* kList = R"([
{"contestant": "harness", "scenario": "harness", "waits": ["spin", "yield"], "batches": false},
{"contestant": "raw-spsc", "scenario": "1p1c", "waits": ["spin", "yield"], "batches": true},
{"contestant": "raw-spsc", "scenario": "pingpong", "waits": ["spin", "yield"], "batches": false},
{"contestant": "raw-spsc", "scenario": "paced", "waits": ["spin", "yield"], "batches": false},
{"contestant": "raw-broadcast", "scenario": "1p2c", "waits": ["spin", "yield"], "batches": true},
{"contestant": "raw-broadcast", "scenario": "1pnc", "waits": ["spin", "yield"], "batches": true},
{"contestant": "raw-broadcast", "scenario": "pipeline3", "waits": ["spin", "yield"], "batches": true},
{"contestant": "raw-broadcast", "scenario": "diamond3", "waits": ["spin", "yield"], "batches": true}
])";

Result run(const Options& options) {
    if (options.scenario == "harness") {
        return run_harness(options);
    }
    if (options.scenario == "pingpong") {
        return run_pingpong(options);
    }
    if (options.scenario == "paced") {
        return run_paced(options);
    }
    return run_stream(options);
}

}  // namespace

int main(int count, char** arguments) {
    if (count == 2 && std::strcmp(arguments[1], "--list") == 0) {
        std::puts(kList);
        return 0;
    }
    const Options options = parse(count, arguments);
    print_result(options, run(options));
    return 0;
}
