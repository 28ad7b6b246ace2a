// What a run is asked for on its command line, and the line of JSON it answers with.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

// The exit code of a wait, scenario or size that is not here: skipped, not failed.
constexpr int kNotHere = 3;

struct Options {
    std::string scenario;
    std::string contestant;
    std::string wait = "yield";
    std::int64_t events = 1'000'000;
    std::int64_t size = 64;
    std::int64_t capacity = 65'536;
    std::int64_t batch = 1;
    std::int64_t consumers = 1;
    double rate = 100'000;
    double seconds = 1;
    double warmup = 0.5;
};

using Buckets = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

struct Result {
    std::int64_t events = 0;
    double seconds = 0;
    std::uint64_t checksum = 0;
    std::optional<double> mean_batch;
    std::optional<Buckets> latency;
    std::optional<std::int64_t> sent;
};

// Reads the command line; ends the program with 2 on one that makes no sense.
Options parse(int count, char** arguments);
void print_result(const Options& options, const Result& result);
