#include "threads.h"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

namespace fgvc {

void parallel_for(int threads, int64_t count, const std::function<void(int, int64_t)>& task) {
  std::atomic<int64_t> next{0};
  const auto work = [&](int worker) {
    for (int64_t index; (index = next.fetch_add(1, std::memory_order_relaxed)) < count;) task(worker, index);
  };
  std::vector<std::thread> others;
  const int wanted = int(std::min<int64_t>(threads, count));
  others.reserve(size_t(std::max(0, wanted - 1)));
  try {
    for (int worker = 1; worker < wanted; ++worker) others.emplace_back(work, worker);
  } catch (const std::system_error&) {
  }
  work(0);
  for (std::thread& other : others) other.join();
}

}  // namespace fgvc
