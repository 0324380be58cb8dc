// Text from outside is read here, by scanners: std::regex recurses for every byte, and a prompt of
// some 20,000 bytes ended the process where the thread's stack did. What each function gives is
// what the regular expression above it gave, in time and memory of the text's length.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <locale>
#include <map>
#include <queue>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace pulid {

// The "C" locale's classes, whatever locale the process has.
inline bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
inline bool is_word(char c) { return is_alpha(c) || is_digit(c) || c == '_'; }

// A weight above it makes noise of the prompt; nested brackets would reach infinity. As
// MAX_PROMPT_WEIGHT of pulid_sdcpp/options/prompt_weights.py, which refuses it before.
constexpr float max_prompt_weight = 100.f;

// The number that "1.2", "+.5" or "1.2.3" begins with.
inline float prompt_weight(const std::string& text) {
    std::istringstream stream(text);
    stream.imbue(std::locale::classic());
    float weight = 0.f;
    stream >> weight;
    if (std::none_of(text.begin(), text.end(), is_digit) || !std::isfinite(weight)) {
        throw std::runtime_error("the prompt has the weight '" + text.substr(0, 40) + "', which is no number");
    }
    return weight;
}

// Where the weight ":1.2)" at `start` ends, past its bracket; `start` where there is none.
inline size_t weight_end(const std::string& text, size_t start) {
    size_t end = start + 1;
    if (end < text.size() && (text[end] == '+' || text[end] == '-')) {
        end++;
    }
    const size_t digits = end;
    while (end < text.size() && (text[end] == '.' || is_digit(text[end]))) {
        end++;
    }
    return end > digits && end < text.size() && text[end] == ')' ? end + 1 : start;
}

// The parts of a prompt with their weights: (more), ((yet more)), [less], (as said:1.3).
// R"(\\\(|\\\)|\\\[|\\\]|\\\\|\\|\(|\[|:([+-]?[.\d]+)\)|\)|\]|\bBREAK\b|[^\\()\[\]:B]+|:|\bB)",
// each time at the beginning of what is left.
inline std::vector<std::pair<std::string, float>> parse_prompt(const std::string& text) {
    std::vector<std::pair<std::string, float>> parts;
    std::vector<size_t> round;
    std::vector<size_t> square;
    const auto multiply_from = [&](size_t start, float factor) {
        for (size_t i = start; i < parts.size(); i++) {
            parts[i].second *= factor;
        }
    };
    const auto close = [&](std::vector<size_t>& open, float factor) {
        multiply_from(open.back(), factor);
        open.pop_back();
    };
    const float more = 1.1f;
    const float less = 1 / 1.1f;

    size_t at = 0;
    while (at < text.size()) {
        const size_t start = at++;
        const char c       = text[start];
        if (c == '\\') {
            if (at < text.size() && std::string("()[]\\").find(text[at]) != std::string::npos) {
                at++;
            }
            // The backslash is kept, but for "\(".
            const size_t kept = text[at - 1] == '(' ? start + 1 : start;
            parts.emplace_back(text.substr(kept, at - kept), 1.f);
        } else if (c == '(') {
            round.push_back(parts.size());
        } else if (c == '[') {
            square.push_back(parts.size());
        } else if (c == ':' && weight_end(text, start) > start) {
            at = weight_end(text, start);
            if (!round.empty()) {
                close(round, prompt_weight(text.substr(start + 1, at - start - 2)));
            }
        } else if (c == ')' && !round.empty()) {
            close(round, more);
        } else if (c == ']' && !square.empty()) {
            close(square, less);
        } else if (text.compare(start, 5, "BREAK") == 0 && (start + 5 == text.size() || !is_word(text[start + 5]))) {
            at = start + 5;
            parts.emplace_back("BREAK", -1.f);
        } else {
            if (c != ')' && c != ']' && c != ':' && c != 'B') {
                at = std::min(text.find_first_of("\\()[]:B", at), text.size());
            }
            parts.emplace_back(text.substr(start, at - start), 1.f);
        }
    }
    for (size_t start : round) {
        multiply_from(start, more);
    }
    for (size_t start : square) {
        multiply_from(start, less);
    }

    std::vector<std::pair<std::string, float>> merged;
    for (auto& part : parts) {
        if (!(std::fabs(part.second) <= max_prompt_weight)) {
            throw std::runtime_error("the prompt gives a part of it a weight above " + std::to_string(static_cast<int>(max_prompt_weight)));
        }
        if (!merged.empty() && merged.back().second == part.second) {
            merged.back().first += part.first;
        } else {
            merged.push_back(std::move(part));
        }
    }
    if (merged.empty()) {
        merged.emplace_back("", 1.f);
    }
    return merged;
}

// The number of a block in a tensor's name, with what may follow it; 0 where there is none. Blocks
// are made up to the highest: a file with "blocks.99999999." took all memory there is.
inline int block_number(const std::string& text) {
    size_t end = 0;
    while (end < text.size() && is_digit(text[end])) {
        end++;
    }
    if (end > 3) {
        throw std::runtime_error("a tensor's name has the block number " + text.substr(0, std::min<size_t>(end, 20)) + "; models have up to 999 blocks");
    }
    int number = 0;
    for (size_t i = 0; i < end; i++) {
        number = 10 * number + (text[i] - '0');
    }
    return number;
}

// R"(\s+)" replaced by " ".
inline std::string one_space_each(const std::string& text) {
    std::string result;
    for (size_t i = 0; i < text.size(); i++) {
        if (!is_space(text[i])) {
            result += text[i];
        } else if (i == 0 || !is_space(text[i - 1])) {
            result += ' ';
        }
    }
    return result;
}

// " {2,}" replaced by " ".
inline std::string single_spaces(const std::string& text) {
    std::string result;
    for (char c : text) {
        if (c != ' ' || result.empty() || result.back() != ' ') {
            result += c;
        }
    }
    return result;
}

// CLIP's words: R"('s|'t|'re|'ve|'m|'ll|'d|[[:alpha:]]+|[[:digit:]]|[^[:space:][:alpha:][:digit:]]+)"
// of either case.
inline std::vector<std::string> clip_words(const std::string& text) {
    static const char* const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    const auto is_mark                 = [](char c) { return !is_space(c) && !is_alpha(c) && !is_digit(c); };
    const auto ending_at               = [&](size_t start) -> size_t {
        for (const char* ending : endings) {
            size_t length = 0;
            while (ending[length] != '\0' && start + length < text.size() &&
                   (text[start + length] == ending[length] ||
                    (is_alpha(ending[length]) && text[start + length] == ending[length] - 'a' + 'A'))) {
                length++;
            }
            if (ending[length] == '\0') {
                return length;
            }
        }
        return 0;
    };
    std::vector<std::string> words;
    size_t at = 0;
    while (at < text.size()) {
        const size_t start = at;
        if (const size_t length = ending_at(start)) {
            at += length;
        } else if (is_alpha(text[start])) {
            while (at < text.size() && is_alpha(text[at])) {
                at++;
            }
        } else if (is_mark(text[start])) {
            while (at < text.size() && is_mark(text[at])) {
                at++;
            }
        } else {
            at++;
            if (is_space(text[start])) {
                continue;
            }
        }
        words.push_back(text.substr(start, at - start));
    }
    return words;
}

// Byte-pair encoding: the pair of the lowest rank is joined, everywhere from the left, until no
// pair has a rank. `ranks` maps pairs of `Text` to their ranks. Each round costs what it joins:
// looking through the whole word in each took minutes for a word of 10,000 letters.
template <typename Text, typename Ranks>
std::vector<Text> joined_pairs(std::vector<Text> pieces, const Ranks& ranks) {
    using Entry       = std::pair<int, size_t>;  // a rank, and where the pair begins
    const size_t none = pieces.size();
    std::vector<size_t> next(pieces.size());
    std::vector<size_t> previous(pieces.size());
    std::priority_queue<Entry, std::vector<Entry>, std::greater<Entry>> queue;
    const auto rank_at = [&](size_t i) {
        if (i == none || next[i] == none) {
            return -1;
        }
        const auto found = ranks.find({pieces[i], pieces[next[i]]});
        return found == ranks.end() ? -1 : static_cast<int>(found->second);
    };
    for (size_t i = 0; i < pieces.size(); i++) {
        next[i]     = i + 1;
        previous[i] = i == 0 ? none : i - 1;
    }
    const auto look_at = [&](size_t i) {
        const int rank = rank_at(i);
        if (rank >= 0) {
            queue.emplace(rank, i);
        }
    };
    for (size_t i = 0; i < pieces.size(); i++) {
        look_at(i);
    }
    while (!queue.empty()) {
        const int rank = queue.top().first;
        std::vector<size_t> joined;
        while (!queue.empty() && queue.top().first == rank) {
            const size_t i = queue.top().second;
            queue.pop();
            // The pair may be gone: joined with a neighbour, or pushed twice.
            if (pieces[i].empty() || rank_at(i) != rank) {
                continue;
            }
            const size_t taken = next[i];
            pieces[i] += pieces[taken];
            pieces[taken].clear();
            next[i] = next[taken];
            if (next[i] != none) {
                previous[next[i]] = i;
            }
            joined.push_back(i);
        }
        for (size_t i : joined) {
            look_at(i);
            look_at(previous[i]);
        }
    }
    pieces.erase(std::remove_if(pieces.begin(), pieces.end(), [](const Text& piece) { return piece.empty(); }), pieces.end());
    return pieces;
}

}  // namespace pulid
