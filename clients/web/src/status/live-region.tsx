/** Tells screen readers of messages that arrive in the open conversation, and nothing else. */
import { type ReactNode, useEffect, useState } from 'react';
import { useClient } from '../chat/use-store.ts';
import { textOf } from '../timeline/message-row.tsx';
import { Announcer } from './announcer.ts';

export function LiveRegion({ conversationId }: { conversationId: string | undefined }): ReactNode {
  const client = useClient();
  const [said, setSaid] = useState({ text: '', count: 0 });
  useEffect(() => {
    const announcer = new Announcer((text) => setSaid(({ count }) => ({ text, count: count + 1 })));
    const off = client.on('message', ({ conversationId: id, row }) => {
      if (id !== conversationId) return;
      const user = client.people.get(row.sender).get();
      announcer.arrived(`${user?.displayName || user?.username || 'Someone'}: ${textOf(row)}`);
    });
    return () => {
      off();
      announcer.stop();
    };
  }, [client, conversationId]);
  return (
    <div className="sr-only" aria-live="polite" data-live>
      {/* A node of its own each time: the same text in the same node would not be told again. */}
      <span key={said.count}>{said.text}</span>
    </div>
  );
}
