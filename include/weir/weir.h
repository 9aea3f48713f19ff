// All of weir.
#pragma once

#include "weir/broker.h"
#include "weir/producer.h"
#include "weir/typed.h"
