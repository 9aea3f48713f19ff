#include <iostream>
#include <weir/weir.h>

int main() {
  auto broker = weir::open("data/bank").value();
  broker->create_topic("transfers").value();
  broker->create_topic("receipts").value();

  // Consume, change state, publish: all of it happens, and once, or none of it, whenever the process dies.
  auto bank = broker->subscribe("transfers", {.group = "bank", .threads = 4}, [&](weir::Delivery& transfer) {
    broker->transact([&](weir::Transaction& tx) {
      const long balance = std::stol(tx.get("balance/shop").value().value_or("0"));
      tx.put("balance/shop", std::to_string(balance + std::stol(transfer.payload().str())));
      tx.publish("receipts", {.key = "shop", .payload = "received " + transfer.payload().str()});
      tx.ack(transfer);
      return weir::ok();   // a conflict with another handler's transaction begins anew
    }).value();
  }).value();

  for (const char* amount : {"20", "15", "7"}) broker->publish("transfers", {.payload = amount}).value();
  if (!broker->drain().ok()) return 1;
  bank.stop();
  std::cout << "the shop has " << broker->get_state("balance/shop").value().value_or("nothing") << '\n';
}
