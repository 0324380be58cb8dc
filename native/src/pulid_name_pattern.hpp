// Patterns of tensor names, for rules of weight types: part of what std::regex reads, found in time
// of the pattern's length by the name's, where std::regex takes time without bound and recurses for
// every byte. As pulid_sdcpp/options/name_pattern.py, which says first what no pattern is.
#pragma once

#include <bitset>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace pulid {

class NamePattern {
public:
    explicit NamePattern(const std::string& pattern)
        : text_(pattern) {
        code_ = alternatives(0);
        if (at_ < text_.size()) {
            refuse("a ) that closes nothing");
        }
        code_.push_back({Op::match, {}, 0, 0});
    }

    // True where the pattern fits any part of the name.
    bool found_in(const std::string& name) const {
        std::vector<size_t> now;
        std::vector<size_t> marked(code_.size(), 0);  // 1 + the place at which it was reached
        for (size_t place = 0; place <= name.size(); place++) {
            std::vector<size_t> starts = {0};
            if (place > 0) {
                const auto byte = static_cast<unsigned char>(name[place - 1]);
                for (size_t i : now) {
                    if (code_[i].bytes[byte]) {
                        starts.push_back(i + 1);
                    }
                }
            }
            now.clear();
            while (!starts.empty()) {
                const size_t i = starts.back();
                starts.pop_back();
                if (marked[i] == place + 1) {
                    continue;
                }
                marked[i]       = place + 1;
                const Step& step = code_[i];
                switch (step.op) {
                    case Op::match:
                        return true;
                    case Op::byte:
                        now.push_back(i);
                        break;
                    case Op::go:
                        starts.push_back(i + step.first);
                        starts.push_back(i + step.second);
                        break;
                    case Op::begin:
                        if (place == 0) {
                            starts.push_back(i + 1);
                        }
                        break;
                    case Op::end:
                        if (place == name.size()) {
                            starts.push_back(i + 1);
                        }
                        break;
                }
            }
        }
        return false;
    }

private:
    enum class Op { byte, go, begin, end, match };
    using Bytes = std::bitset<256>;
    struct Step {
        Op op;
        Bytes bytes;  // of Op::byte
        int first;    // of Op::go: where to go on, from here
        int second;
    };
    using Code = std::vector<Step>;

    [[noreturn]] void refuse(const std::string& what) const {
        throw std::runtime_error("a tensor type rule has " + what + ": '" + text_.substr(0, 60) + "'");
    }

    bool is_next(char c) const { return at_ < text_.size() && text_[at_] == c; }

    static Step go(size_t first, size_t second) {
        return {Op::go, {}, static_cast<int>(first), static_cast<int>(second)};
    }

    Code alternatives(int depth) {
        if (depth > 50) {
            refuse("brackets nested more than 50 deep");
        }
        std::vector<Code> branches = {sequence(depth)};
        size_t left                = branches.back().size();
        while (is_next('|')) {
            at_++;
            branches.push_back(sequence(depth));
            left += branches.back().size() + 2;
        }
        Code code;
        code.reserve(left);
        for (size_t i = 0; i < branches.size(); i++) {
            const Code& branch = branches[i];
            if (i + 1 == branches.size()) {
                code.insert(code.end(), branch.begin(), branch.end());
                break;
            }
            code.push_back(go(1, branch.size() + 2));
            code.insert(code.end(), branch.begin(), branch.end());
            const size_t to_end = left - code.size();
            code.push_back(go(to_end, to_end));
        }
        return code;
    }

    Code sequence(int depth) {
        Code code;
        while (at_ < text_.size() && !is_next('|') && !is_next(')')) {
            const Code part = repeated(depth);
            code.insert(code.end(), part.begin(), part.end());
        }
        return code;
    }

    Code repeated(int depth) {
        const bool is_place = is_next('^') || is_next('$');
        Code part           = single(depth);
        if (!is_next('*') && !is_next('+') && !is_next('?')) {
            return part;
        }
        if (is_place) {
            refuse("a repetition of nothing");
        }
        const char sign   = text_[at_++];
        const size_t size = part.size();
        if (sign != '+') {
            part.insert(part.begin(), go(1, size + (sign == '*' ? 2 : 1)));
        }
        if (sign != '?') {
            const int back = -static_cast<int>(size + (sign == '*' ? 1 : 0));
            part.push_back({Op::go, {}, back, sign == '*' ? back : 1});
        }
        if (is_next('?')) {
            at_++;  // as few as possible: found in the same names
        }
        if (is_next('*') || is_next('+') || is_next('?')) {
            refuse("a repetition of a repetition");
        }
        return part;
    }

    Code single(int depth) {
        const char c = text_[at_++];
        switch (c) {
            case '^':
                return {{Op::begin, {}, 0, 0}};
            case '$':
                return {{Op::end, {}, 0, 0}};
            case '(': {
                if (is_next('?')) {
                    if (text_.compare(at_, 2, "?:") != 0) {
                        refuse("(? without a colon");
                    }
                    at_ += 2;
                }
                Code code = alternatives(depth + 1);
                if (!is_next(')')) {
                    refuse("a ( that nothing closes");
                }
                at_++;
                return code;
            }
            case '[':
                return {{Op::byte, set(), 0, 0}};
            case '\\':
                return {{Op::byte, escaped(), 0, 0}};
            case '.':
                return {{Op::byte, ~(only('\n') | only('\r')), 0, 0}};
            case '*':
            case '+':
            case '?':
                refuse("a repetition of nothing");
            case '{':
            case '}':
                refuse(std::string("a ") + c);
            default:
                return {{Op::byte, only(c), 0, 0}};
        }
    }

    static Bytes only(char c) { return Bytes().set(static_cast<unsigned char>(c)); }

    // What follows a backslash.
    Bytes escaped() {
        if (at_ == text_.size()) {
            refuse("a \\ at its end");
        }
        const char c = text_[at_++];
        Bytes bytes;
        for (int i = 0; i < 128; i++) {
            const char byte = static_cast<char>(i);
            const bool is_digit = byte >= '0' && byte <= '9';
            const bool is_alpha = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
            const bool is_space = byte == ' ' || (byte >= '\t' && byte <= '\r');
            switch (c) {
                case 'd': case 'D': bytes[i] = is_digit; break;
                case 'w': case 'W': bytes[i] = is_digit || is_alpha || byte == '_'; break;
                case 's': case 'S': bytes[i] = is_space; break;
                default: break;
            }
        }
        switch (c) {
            case 'd': case 'w': case 's': return bytes;
            case 'D': case 'W': case 'S': return ~bytes;
            default: break;
        }
        const bool is_letter = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (is_letter) {
            refuse(std::string("\\") + c);
        }
        return only(c);
    }

    // What stands in [].
    Bytes set() {
        Bytes bytes;
        const bool is_negated = is_next('^');
        if (is_negated) {
            at_++;
        }
        bool is_empty = true;
        while (at_ < text_.size() && text_[at_] != ']') {
            is_empty        = false;
            const char low  = text_[at_];
            const Bytes one = set_member();
            if (!is_next('-') || at_ + 1 >= text_.size() || text_[at_ + 1] == ']') {
                bytes |= one;
                continue;
            }
            at_++;
            const char high = text_[at_];
            set_member();
            if (low == '\\' || high == '\\' || static_cast<unsigned char>(low) > static_cast<unsigned char>(high)) {
                refuse("a range in [] that is none");
            }
            for (int i = static_cast<unsigned char>(low); i <= static_cast<unsigned char>(high); i++) {
                bytes.set(i);
            }
        }
        if (at_ == text_.size() || is_empty) {
            refuse("a [ without ] or with nothing in it");
        }
        at_++;
        return is_negated ? ~bytes : bytes;
    }

    Bytes set_member() {
        const char c = text_[at_++];
        if (c == '\\') {
            return escaped();
        }
        if (c == '[') {
            refuse("a [ in []");
        }
        return only(c);
    }

    std::string text_;
    size_t at_ = 0;
    Code code_;
};

}  // namespace pulid
