/** Renames a group, in place. */
import type { Conversation } from '@parley/sdk';
import { type SubmitEvent, type ReactNode, useState } from 'react';
import { useStore } from '../chat/use-store.ts';
import { fieldText } from '../text/form-text.ts';
import { reasonOf, sentenceOf } from '../text/reason-text.ts';

const NAME_MAX = 100;

export function GroupName({ conversation }: { conversation: Conversation }): ReactNode {
  const info = useStore(conversation.info);
  const [isEditing, setEditing] = useState(false);
  const [trouble, setTrouble] = useState<string | undefined>(undefined);
  if ((info.role !== 'owner' && info.role !== 'admin') || !info.onServer) return null;
  if (!isEditing) {
    return (
      <button type="button" className="link-button" onClick={() => setEditing(true)}>
        Rename
      </button>
    );
  }
  const save = async (e: SubmitEvent<HTMLFormElement>): Promise<void> => {
    e.preventDefault();
    const name = fieldText(e.currentTarget, 'name').trim();
    try {
      if (name !== '' && name !== info.name) await conversation.update({ name });
      setEditing(false);
    } catch (error) {
      setTrouble(sentenceOf(reasonOf(error)));
    }
  };
  return (
    <form className="section" onSubmit={(e) => void save(e)}>
      <input
        className="input"
        name="name"
        dir="auto"
        autoFocus
        aria-label="Name of the group"
        maxLength={NAME_MAX}
        defaultValue={info.name}
        onKeyDown={(e) => {
          if (e.key !== 'Escape') return;
          e.stopPropagation();
          setEditing(false);
        }}
      />
      {trouble !== undefined && (
        <p className="error" role="alert">
          {trouble}
        </p>
      )}
      <button type="submit" className="button primary">
        Save name
      </button>
    </form>
  );
}
