/* Assertions that stay on in production: a broken invariant stops the process before it can spread to disk. */
#ifndef HATO_BASE_ASSERT_H
#define HATO_BASE_ASSERT_H

/* Prints where and what to standard error and aborts. */
_Noreturn void assert_failed(const char *what, const char *file, int line);

#define ASSERT(condition) ((condition) ? (void)0 : assert_failed(#condition, __FILE__, __LINE__))
#define UNREACHABLE() assert_failed("unreachable", __FILE__, __LINE__)

#endif
