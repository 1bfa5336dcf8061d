/**
 * What operators and their tools ask of the edge port: /livez (the process serves), /readyz (it
 * serves people: not while it starts or drains), /metrics.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';

export interface OpsSources {
  /** Empty = ready; else why not, one reason a line. */
  readonly notReady: () => readonly string[];
  readonly metrics: () => Promise<string>;
}

/** True if the request was one of these and is being answered. */
export function answerOps(
  request: IncomingMessage,
  response: ServerResponse,
  sources: OpsSources,
): boolean {
  const path = request.url?.split('?')[0];
  if (request.method !== 'GET' && request.method !== 'HEAD') return false;
  switch (path) {
    case '/livez':
      plain(response, 200, 'live\n');
      return true;
    case '/readyz': {
      const reasons = sources.notReady();
      plain(
        response,
        reasons.length === 0 ? 200 : 503,
        reasons.length === 0 ? 'ready\n' : `${reasons.join('\n')}\n`,
      );
      return true;
    }
    case '/metrics':
      sources.metrics().then(
        (text) => plain(response, 200, text, 'text/plain; version=0.0.4; charset=utf-8'),
        () => plain(response, 503, 'the metrics could not be collected\n'),
      );
      return true;
    default:
      return false;
  }
}

function plain(
  response: ServerResponse,
  status: number,
  text: string,
  type = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, {
    'content-type': type,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(text);
}
