/*
 * log.h - lines on stderr in the sd-daemon(3) convention: "<6>text".
 *
 * Only app/ and the floors that answer a request log; libraries return errors.
 * On a terminal the prefix is left out and the word is written instead.
 *
 * Threads: any; a line is one write(2).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_ERROR = 3, LOG_WARNING = 4, LOG_NOTICE = 5, LOG_INFO = 6 };

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
