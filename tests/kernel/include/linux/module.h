/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef STUB_MODULE_H
#define STUB_MODULE_H
#include <linux/compiler.h>
#ifndef STUB_RELEASE
#define STUB_RELEASE "6.12.0-stub"
#endif
struct module {
	char name[56];
};
struct module __this_module __attribute__((section(".gnu.linkonce.this_module")));
#define THIS_MODULE (&__this_module)
#define MODULE_INFO(tag, text)                                                                     \
	static const char __UNIQUE_ID(tag)[]                                                       \
		__attribute__((used, section(".modinfo"), aligned(1))) = #tag "=" text
#define MODULE_LICENSE(text) MODULE_INFO(license, text)
#define module_init(fn) int init_module(void) __attribute__((alias(#fn)))
#define module_exit(fn) void cleanup_module(void) __attribute__((alias(#fn)))
MODULE_INFO(vermagic, STUB_RELEASE " SMP ");
#endif
