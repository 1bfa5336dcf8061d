/**
 * The Links of a thread to the store of its process: the first is there from the start; when it broke
 * (a side that stalled was given more than its queue holds), the store is handed the end of a new one.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { Link } from '../../core/link.ts';
import { MessagePortLink } from './message-port-link.ts';

/** `attach` hands an end over to the store; what is sent meanwhile waits in the channel. */
export function linkSource(
  first: MessagePort,
  attach: (port: MessagePort) => Promise<void>,
): () => Link {
  let next: MessagePort | undefined = first;
  return () => {
    const port = next;
    next = undefined;
    if (port !== undefined) return new MessagePortLink(port);
    const { port1, port2 } = new MessageChannel();
    attach(port2).catch(() => port1.close());
    return new MessagePortLink(port1);
  };
}
