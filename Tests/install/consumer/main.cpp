// The same from C++, with a lambda as the body and a string that the task owns.

#include <taskreg.h>

#include <atomic>
#include <cstdio>
#include <string>

static std::atomic<int> dropped{0};

int main() {
  tr_registry *registry = nullptr;
  if (tr_version() != TR_VERSION) return 2;
  if (tr_registry_create(nullptr, &registry) != TR_OK) return 3;

  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.drop = [](void *ctx) {
    delete static_cast<std::string *>(ctx);
    dropped++;
  };
  for (int i = 0; i < 3; i++) {
    auto *text = new std::string("a string too long to be stored in place, number " + std::to_string(i));
    tr_status status = tr_spawn_with(
        registry, "cpp", TR_KIND_RPC_HANDLER,
        [](tr_task *, void *ctx) { return static_cast<std::string *>(ctx)->empty() ? 1 : 0; }, text,
        &options, nullptr);
    if (status != TR_OK) {
      delete text;
      return 4;
    }
  }
  tr_join_report report = TR_JOIN_REPORT_INIT;
  tr_status status = tr_join_all(registry, INT64_C(10000000000), &report);
  tr_status closed = tr_shutdown(registry, TR_REASON_REQUESTED_BY_RUN, nullptr, INT64_C(10000000000), nullptr);
  tr_registry_release(registry);
  std::printf("C++: %d dropped, %s\n", dropped.load(), tr_strerror(status));
  return status == TR_OK && closed == TR_OK && report.failed == 0 && dropped == 3 ? 0 : 1;
}
