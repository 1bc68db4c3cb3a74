/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef STUB_STRING_H
#define STUB_STRING_H
int strcmp(const char *a, const char *b);
#endif
