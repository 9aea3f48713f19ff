// The main() of every test program. It takes long to compile, so it holds nothing else.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
