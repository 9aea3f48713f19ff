// Uses every part of the library that needs linking: a durable topic, a handler, and the error table.
#include <atomic>
#include <iostream>
#include <weir/weir.h>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  auto broker = weir::open(argv[1]).value();
  broker->create_topic("parcels").value();
  broker->publish("parcels", {.key = "k", .payload = "fragile"}).value();
  std::atomic<int> handled = 0;
  const auto subscription =
      broker->subscribe("parcels", {.group = "depot"}, [&](weir::Delivery& d) { handled += d.payload().text() == "fragile"; }).value();
  const weir::Status drained = broker->drain();
  const weir::Result<weir::TopicInfo> missing = broker->topic("letters");
  std::cout << "handled " << handled << ", " << missing.status() << std::endl;
  return drained.ok() && handled == 1 && missing.code() == weir::ErrorCode::topic_not_found ? 0 : 1;
}
