#include "options.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>

namespace {

[[noreturn]] void refuse(const std::string& fact) {
    std::fprintf(stderr, "%s\n", fact.c_str());
    std::exit(2);
}

template <class Number>
Number number(const std::string& name, const char* text, Number (*convert)(const char*, char**)) {
    char* end = nullptr;
    const Number value = convert(text, &end);
    if (end == text || *end != '\0' || value < 0) {
        refuse(name + " is \"" + text + "\": give a number of 0 or more");
    }
    return value;
}

std::int64_t whole(const std::string& name, const char* text) {
    return number<long long>(name, text, [](const char* from, char** end) { return std::strtoll(from, end, 10); });
}

double real(const std::string& name, const char* text) {
    return number<double>(name, text, [](const char* from, char** end) { return std::strtod(from, end); });
}

void set(Options& options, const std::string& name, const char* text) {
    const std::map<std::string, std::function<void()>> setters = {
        {"--scenario", [&] { options.scenario = text; }},
        {"--contestant", [&] { options.contestant = text; }},
        {"--wait", [&] { options.wait = text; }},
        {"--events", [&] { options.events = whole(name, text); }},
        {"--size", [&] { options.size = whole(name, text); }},
        {"--capacity", [&] { options.capacity = whole(name, text); }},
        {"--batch", [&] { options.batch = whole(name, text); }},
        {"--consumers", [&] { options.consumers = whole(name, text); }},
        {"--rate", [&] { options.rate = real(name, text); }},
        {"--seconds", [&] { options.seconds = real(name, text); }},
        {"--warmup", [&] { options.warmup = real(name, text); }},
        // Said to every contestant; a raw ring has one producer, and each consumer sees all.
        {"--producers", [] {}},
        {"--mode", [] {}},
    };
    const auto found = setters.find(name);
    if (found == setters.end()) {
        refuse("there is no option " + name);
    }
    found->second();
}

void print_buckets(const Buckets& buckets) {
    std::printf("{\"unit\": \"ns\", \"buckets\": [");
    const char* comma = "";
    for (const auto& [value, count] : buckets) {
        std::printf("%s[%llu, %llu]", comma, static_cast<unsigned long long>(value),
                    static_cast<unsigned long long>(count));
        comma = ", ";
    }
    std::printf("]}");
}

}  // namespace

Options parse(int count, char** arguments) {
    Options options;
    for (int index = 1; index < count; index += 2) {
        if (index + 1 == count) {
            refuse(std::string(arguments[index]) + " needs a value");
        }
        set(options, arguments[index], arguments[index + 1]);
    }
    const bool is_power = options.capacity > 0 && (options.capacity & (options.capacity - 1)) == 0;
    if (!is_power) {
        refuse("--capacity is " + std::to_string(options.capacity) + ": give a power of two");
    }
    if (options.batch < 1 || options.batch > options.capacity) {
        refuse("--batch is " + std::to_string(options.batch) + ": give 1 to the capacity");
    }
    return options;
}

void print_result(const Options& options, const Result& result) {
    std::printf("{\"contestant\": \"%s\", \"scenario\": \"%s\", \"events\": %lld, \"seconds\": %.9f, \"checksum\": \"%llu\"",
                options.contestant.c_str(), options.scenario.c_str(), static_cast<long long>(result.events),
                result.seconds, static_cast<unsigned long long>(result.checksum));
    if (result.mean_batch) {
        std::printf(", \"mean_batch\": %.3f", *result.mean_batch);
    } else {
        std::printf(", \"mean_batch\": null");
    }
    std::printf(", \"wait\": \"%s\", \"latency\": ", options.wait.c_str());
    if (result.latency) {
        print_buckets(*result.latency);
    } else {
        std::printf("null");
    }
    if (result.sent) {
        std::printf(", \"sent\": [%lld]", static_cast<long long>(*result.sent));
    }
    std::printf(", \"runtime\": \"g++ %s -O3\"}\n", __VERSION__);
}
