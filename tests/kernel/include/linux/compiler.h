/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef STUB_COMPILER_H
#define STUB_COMPILER_H
#include <linux/version.h>
#define __PASTE_(a, b) a##b
#define __PASTE(a, b) __PASTE_(a, b)
#define __UNIQUE_ID(prefix) __PASTE(__PASTE(__UNIQUE_ID_, prefix), __COUNTER__)
#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define noinline __attribute__((noinline))
#endif
