/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef STUB_STATIC_CALL_H
#define STUB_STATIC_CALL_H
#include <linux/version.h>
/* There are static calls since 5.10. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 10, 0)
#define CONFIG_HAVE_STATIC_CALL 1
#define STATIC_CALL_KEY(name) __SCK__##name
#define STATIC_CALL_TRAMP(name) __SCT__##name
struct static_call_key {
	void *func;
	unsigned long type;
};
#define DECLARE_STATIC_CALL(name, fn)                                                              \
	extern struct static_call_key STATIC_CALL_KEY(name);                                       \
	extern typeof(fn) STATIC_CALL_TRAMP(name)
#define static_call(name) STATIC_CALL_TRAMP(name)
#endif
#endif
