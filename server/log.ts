/**
 * Log lines: one JSON object each, on standard error, so that standard output holds the ready line
 * alone. Synchronous, because the line that explains a crash must not be the one that is lost.
 */
import { pino } from 'pino';
import type { LogFields, Logger } from '../core/observe.ts';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** The part of pino that is used. */
interface Sink {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Sink;
}

export function createLogger(level: LogLevel, thread: string): Logger {
  const sink = pino(
    {
      level,
      base: { thread },
      formatters: { level: (label) => ({ level: label }) },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    pino.destination({ fd: 2, sync: true }),
  );
  return wrap(sink);
}

function wrap(sink: Sink): Logger {
  return {
    debug: (message, fields) => sink.debug(fields ?? {}, message),
    info: (message, fields) => sink.info(fields ?? {}, message),
    warn: (message, fields) => sink.warn(fields ?? {}, message),
    error: (message, fields) => sink.error(fields ?? {}, message),
    with: (fields: LogFields) => wrap(sink.child(fields)),
  };
}
