// Loads a program with ExecuTorch's runtime and prints what its method allocator and its temporary allocator handed out.
// Operators without a kernel on this machine are an error only after everything has been allocated.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/runtime/executor/memory_manager.h>
#include <executorch/runtime/executor/method.h>
#include <executorch/runtime/executor/program.h>
#include <executorch/runtime/platform/runtime.h>

using namespace executorch::runtime;

struct Counting : MemoryAllocator {
  size_t peak = 0;
  Counting(uint32_t size, uint8_t* base) : MemoryAllocator(size, base) {}
  void* allocate(size_t size, size_t alignment = kDefaultAlignment) override {
    void* place = MemoryAllocator::allocate(size, alignment);
    if (used_size() > peak) peak = used_size();
    return place;
  }
};

alignas(64) static uint8_t pool[1 << 22], temporary_pool[1 << 22];

int main(int, char** arguments) {
  runtime_init();
  std::ifstream file(arguments[1], std::ios::binary);
  std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
  void* content = aligned_alloc(64, (bytes.size() + 63) / 64 * 64);
  memcpy(content, bytes.data(), bytes.size());
  executorch::extension::BufferDataLoader loader(content, bytes.size());
  auto program = Program::load(&loader);
  if (!program.ok()) return 1;
  auto meta = program->method_meta("forward");
  std::vector<std::vector<uint8_t>> buffers;
  std::vector<Span<uint8_t>> spans;
  for (size_t i = 0; i < meta->num_memory_planned_buffers(); i++)
    buffers.emplace_back(meta->memory_planned_buffer_size(i).get());
  for (auto& buffer : buffers) spans.push_back({buffer.data(), buffer.size()});
  HierarchicalAllocator planned({spans.data(), spans.size()});
  Counting method(sizeof pool, pool), temporary(sizeof temporary_pool, temporary_pool);
  MemoryManager manager(&method, &planned, &temporary);
  auto loaded = program->load_method("forward", &manager);
  printf("%zu %zu\n", method.peak, temporary.peak);
}
