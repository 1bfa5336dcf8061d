/** Adds people to a group. */
import type { Conversation, User } from '@parley/sdk';
import { type ReactNode, useState } from 'react';
import { Sheet } from '../chat/sheet.tsx';
import type { Act } from './member-menu.tsx';
import { PeoplePicker } from './people-picker.tsx';

interface AddMembersProps {
  readonly conversation: Conversation;
  readonly without: ReadonlySet<string>;
  readonly act: Act;
  readonly close: () => void;
}

export function AddMembers(props: AddMembersProps): ReactNode {
  const [picked, setPicked] = useState<readonly User[]>([]);
  const add = (): void => {
    props.close();
    void props.act(() => props.conversation.members.add(picked.map((user) => user.userId)));
  };
  return (
    <Sheet
      title="Add people"
      close={props.close}
      foot={
        <button
          type="button"
          className="button primary"
          disabled={picked.length === 0}
          onClick={add}
        >
          Add{picked.length > 0 ? ` ${picked.length}` : ''}
        </button>
      }
    >
      <div className="sheet-body">
        <PeoplePicker picked={picked} pick={setPicked} without={props.without} />
      </div>
    </Sheet>
  );
}
