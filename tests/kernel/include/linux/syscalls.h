/* A stand-in: what the definition of a system call comes to, by the names that the kernel uses. */
#ifndef STAND_IN_SYSCALLS_H
#define STAND_IN_SYSCALLS_H

#include <linux/compiler.h>
#include <linux/version.h>

#define __MAP1(m, t, a, ...) m(t, a)
#define __MAP2(m, t, a, ...) m(t, a), __MAP1(m, __VA_ARGS__)
#define __MAP3(m, t, a, ...) m(t, a), __MAP2(m, __VA_ARGS__)
#define __MAP4(m, t, a, ...) m(t, a), __MAP3(m, __VA_ARGS__)
#define __MAP5(m, t, a, ...) m(t, a), __MAP4(m, __VA_ARGS__)
#define __MAP6(m, t, a, ...) m(t, a), __MAP5(m, __VA_ARGS__)
#define __MAP(n, ...) __MAP##n(__VA_ARGS__)
#define __SC_DECL(t, a) t a
#define __SC_LONG(t, a) long a
#define __SC_CAST(t, a) (t) a
#define __SC_CAST32(t, a) (t)(short)a

#define SYSCALL_DEFINE1(name, ...) SYSCALL_DEFINEx(1, _##name, __VA_ARGS__)
#define SYSCALL_DEFINE2(name, ...) SYSCALL_DEFINEx(2, _##name, __VA_ARGS__)
#define SYSCALL_DEFINE3(name, ...) SYSCALL_DEFINEx(3, _##name, __VA_ARGS__)
#define SYSCALL_DEFINE4(name, ...) SYSCALL_DEFINEx(4, _##name, __VA_ARGS__)
#define SYSCALL_DEFINE5(name, ...) SYSCALL_DEFINEx(5, _##name, __VA_ARGS__)
#define SYSCALL_DEFINE6(name, ...) SYSCALL_DEFINEx(6, _##name, __VA_ARGS__)

/* A row of the tables for tracing, and the function. */
#define SYSCALL_DEFINEx(x, sname, ...)                                                             \
	static const char *const types_##sname[] = { #sname };                                     \
	static const char *const *const __attribute__((used, section("__syscalls_metadata")))      \
		__p_meta_##sname = types_##sname;                                                  \
	__SYSCALL_DEFINEx(x, sname, __VA_ARGS__)

#if LINUX_VERSION_CODE >= KERNEL_VERSION(4, 17, 0)
#define STAND_IN_BODY(sname) __do_sys##sname
#else
#define STAND_IN_BODY(sname) SYSC##sname
#endif

/* The kernel's `inline` has no ftrace entry. Two entries call the body: it may stay a function. */
#define __SYSCALL_DEFINEx(x, sname, ...)                                                           \
	static inline __attribute__((no_instrument_function)) long STAND_IN_BODY(sname)(           \
		__MAP(x, __SC_DECL, __VA_ARGS__));                                                 \
	long __x64_sys##sname(__MAP(x, __SC_LONG, __VA_ARGS__));                                   \
	long __x64_sys##sname(__MAP(x, __SC_LONG, __VA_ARGS__))                                    \
	{                                                                                          \
		return STAND_IN_BODY(sname)(__MAP(x, __SC_CAST, __VA_ARGS__));                     \
	}                                                                                          \
	long __ia32_sys##sname(__MAP(x, __SC_LONG, __VA_ARGS__));                                  \
	long __ia32_sys##sname(__MAP(x, __SC_LONG, __VA_ARGS__))                                   \
	{                                                                                          \
		return STAND_IN_BODY(sname)(__MAP(x, __SC_CAST32, __VA_ARGS__));                   \
	}                                                                                          \
	static inline __attribute__((no_instrument_function)) long STAND_IN_BODY(sname)(           \
		__MAP(x, __SC_DECL, __VA_ARGS__))

#endif
