/* Drives the Verilog twin, cycle by cycle: drive CASE BUBBLES
 *
 * CASE holds, little-endian: uint32 P, uint32 N, P queries and N descriptors of 32 bytes.
 * BUBBLES: in how many of 256 cycles no descriptor is offered.
 * Prints `cycles C` (from the first one offered until the lists are final), then for each query
 * `best_distance best_index next_distance next_index`.
 * A twin that does not take them all within 64 cycles each is left at that: its II tells.
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "Vmatcher.h"
#include "verilated.h"

static void tick(Vmatcher &twin) {
  twin.clk = 0;
  twin.eval();
  twin.clk = 1;
  twin.eval();
}

template <class Port>
static void put(Port &port, const uint32_t *words) {
  for (int i = 0; i < 8; ++i) port[i] = words[i];
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  FILE *file = std::fopen(argv[1], "rb");
  uint32_t shape[2];
  if (!file || std::fread(shape, 4, 2, file) != 2) return 2;
  const uint32_t queries = shape[0], count = shape[1];
  std::vector<uint32_t> words(8 * (size_t(queries) + count));
  if (std::fread(words.data(), 4, words.size(), file) != words.size()) return 2;
  std::fclose(file);
  const uint32_t bubbles = std::strtoul(argv[2], nullptr, 10);

  VerilatedContext context;
  Vmatcher twin{&context};
  twin.load_valid = twin.in_valid = twin.start = 0;
  twin.rst = 1;
  tick(twin);
  twin.rst = 0;
  for (uint32_t p = 0; p < queries; ++p) {
    twin.load_valid = 1;
    twin.load_pe = p;
    put(twin.load_word, &words[8 * p]);
    tick(twin);
  }
  twin.load_valid = 0;
  twin.start = 1;
  tick(twin);
  twin.start = 0;

  const uint64_t limit = 64 * uint64_t(count) + 64;
  uint64_t cycles = 0;
  uint32_t state = 1;
  for (uint32_t taken = 0; cycles < limit && (taken < count || twin.busy); ++cycles) {
    state = state * 1664525u + 1013904223u;
    twin.in_valid = taken < count && (state >> 24) >= bubbles;
    if (twin.in_valid) {
      twin.in_index = taken;
      put(twin.in_word, &words[8 * (size_t(queries) + taken)]);
    }
    twin.clk = 0;
    twin.eval();
    const bool takes = twin.in_valid && twin.in_ready;
    twin.clk = 1;
    twin.eval();
    taken += takes;
  }
  std::printf("cycles %llu\n", (unsigned long long)cycles);
  for (uint32_t p = 0; p < queries; ++p) {
    twin.read_pe = p;
    tick(twin);
    std::printf("%u %u %u %u\n", twin.best_distance, twin.best_index, twin.next_distance,
                twin.next_index);
  }
  return 0;
}
