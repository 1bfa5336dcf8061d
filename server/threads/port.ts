/** A MessagePort in the shape that the storage engine's loops take. */
import type { MessagePort } from 'node:worker_threads';
import type { SyncPort } from '../../storage-engine/wal/sync-loop.ts';

export function portOf<Out, In>(port: MessagePort): SyncPort<Out, In> {
  return {
    post: (message, transfer) => port.postMessage(message, [...transfer]),
    onMessage: (listen) => {
      port.on('message', listen);
    },
    close: () => port.close(),
  };
}
