/** One person makes a chat; more, or a name, make a group. Works offline: the id is derived here. */
import type { User } from '@parley/sdk';
import { type ReactNode, useId, useState } from 'react';
import { Sheet } from '../chat/sheet.tsx';
import { useClient } from '../chat/use-store.ts';
import { PeoplePicker } from './people-picker.tsx';

interface NewConversationProps {
  readonly close: () => void;
  readonly open: (id: string) => void;
}

const NAME_MAX = 100;
const NOBODY: ReadonlySet<string> = new Set();

export function NewConversation(props: NewConversationProps): ReactNode {
  const client = useClient();
  const id = useId();
  const [picked, setPicked] = useState<readonly User[]>([]);
  const [name, setName] = useState('');
  const [only] = picked;
  const isGroup = picked.length > 1 || name.trim() !== '';
  const isReady = picked.length > 0 && (!isGroup || name.trim() !== '');
  const start = (): void => {
    if (!isReady || only === undefined) return;
    const made = isGroup
      ? client.createGroup({ name: name.trim(), members: picked.map((user) => user.userId) })
      : client.direct(only.userId);
    props.close();
    props.open(made.id);
  };
  return (
    <Sheet
      title="New conversation"
      close={props.close}
      foot={
        <button type="button" className="button primary" disabled={!isReady} onClick={start}>
          {isGroup ? `Make the group (${picked.length + 1})` : 'Write to them'}
        </button>
      }
    >
      <div className="sheet-body">
        <PeoplePicker picked={picked} pick={setPicked} without={NOBODY} />
        {picked.length > 0 && (
          <div className="field">
            <label htmlFor={id}>Group name{picked.length > 1 ? '' : ' (optional)'}</label>
            <input
              id={id}
              className="input"
              dir="auto"
              maxLength={NAME_MAX}
              value={name}
              onChange={(e) => setName(e.target.value)}
              onKeyDown={(e) => {
                if (e.key !== 'Enter' || e.nativeEvent.isComposing) return;
                // The composer takes the focus at once and must not take this key too.
                e.preventDefault();
                start();
              }}
            />
          </div>
        )}
      </div>
    </Sheet>
  );
}
