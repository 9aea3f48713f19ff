#include <iostream>
#include <weir/weir.h>

int main() {
  auto broker = weir::open("data/shop").value();
  broker->create_topic("orders.placed").value();

  // Returning is ack, throwing is retry with backoff and then a dead letter, throwing Reject is a dead letter at once.
  auto billing = broker->subscribe("orders.placed", {.group = "billing", .max_attempts = 5}, [](weir::Delivery& order) {
    if (order.payload().empty()) throw weir::Reject("an empty order");
    std::cout << "charging " << order.key() << " for " << order.payload().text() << '\n';
  }).value();

  // On disk when publish returns. The id makes it safe to repeat: the same order is stored once.
  broker->publish("orders.placed", {.key = "customer-42", .payload = "2 teapots", .id = "order-1001"}).value();
  broker->publish("orders.placed", {.key = "customer-42", .payload = "2 teapots", .id = "order-1001"}).value();
  broker->publish("orders.placed", {.key = "customer-7", .payload = "", .id = "order-1002"}).value();

  return broker->drain().ok() ? 0 : 1;
}
