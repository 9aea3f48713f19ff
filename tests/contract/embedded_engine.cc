// The embedded engine on a temporary directory.
#include "tests/contract/engines.h"
#include "tests/support/temp_directory.h"

namespace weir::test {
namespace {

class EmbeddedPlace final : public Place {
 public:
  Result<std::unique_ptr<Broker>> open(OpenOptions options) override { return weir::open(location(), std::move(options)); }
  std::string location() const override { return directory_.file("store"); }

 private:
  TempDirectory directory_;
};

const EngineRegistration embedded{{"embedded", [] { return std::make_unique<EmbeddedPlace>(); }}};

}  // namespace
}  // namespace weir::test
