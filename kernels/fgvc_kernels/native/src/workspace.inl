// One block of memory per worker, cut into aligned arrays.  Included inside an ISA namespace.

// With base == null nothing may be dereferenced: the same carving code then only measures the bytes it needs.
struct Carver {
  char* base;
  int64_t used;

  template <class T>
  T* take(int64_t count) {
    T* const start = base ? reinterpret_cast<T*>(base + used) : nullptr;
    used += (count * int64_t(sizeof(T)) + 63) / 64 * 64;
    return start;
  }
};
