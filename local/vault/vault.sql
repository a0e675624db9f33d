-- Stand-in for the extension supabase_vault 0.3: the same table, view and functions.
-- Run as supabase_admin, after local/platform. Safe to run again.
--
-- Not as on the platform: the cipher is pgcrypto's AES instead of libsodium's XChaCha20, and its key
-- lies in a table (which nobody but supabase_admin may read) instead of outside the database.

create schema if not exists vault;

create table if not exists vault._key (
  only_row boolean primary key default true check (only_row),
  key bytea not null default extensions.gen_random_bytes(32)
);
insert into vault._key default values on conflict do nothing;

create or replace function vault._crypto_aead_det_noncegen() returns bytea
language sql volatile set search_path = '' as $$ select extensions.gen_random_bytes(16) $$;

-- security definer: only the owner may read the key.
create or replace function vault._crypto_aead_det_encrypt(
  message bytea, additional bytea, key_id bigint, context bytea default 'pgsodium',
  nonce bytea default null
) returns bytea
language sql stable security definer set search_path = '' as $$
  select extensions.encrypt_iv(
    message,
    k.key,
    substr(extensions.hmac(additional || nonce || context, k.key, 'sha256'), 1, 16),
    'aes-cbc/pad:pkcs'
  )
  from vault._key as k
$$;

-- security definer: only the owner may read the key.
create or replace function vault._crypto_aead_det_decrypt(
  message bytea, additional bytea, key_id bigint, context bytea default 'pgsodium',
  nonce bytea default null
) returns bytea
language sql stable security definer set search_path = '' as $$
  select extensions.decrypt_iv(
    message,
    k.key,
    substr(extensions.hmac(additional || nonce || context, k.key, 'sha256'), 1, 16),
    'aes-cbc/pad:pkcs'
  )
  from vault._key as k
$$;

create table if not exists vault.secrets (
  id uuid primary key default gen_random_uuid(),
  name text,
  description text not null default '',
  secret text not null,
  key_id uuid,
  nonce bytea default vault._crypto_aead_det_noncegen(),
  created_at timestamptz not null default current_timestamp,
  updated_at timestamptz not null default current_timestamp
);
comment on table vault.secrets is
  'Table with encrypted `secret` column for storing sensitive information on disk.';
create unique index if not exists secrets_name_idx on vault.secrets (name) where name is not null;

create or replace view vault.decrypted_secrets as
select
  s.id,
  s.name,
  s.description,
  s.secret,
  convert_from(
    vault._crypto_aead_det_decrypt(
      message => decode(s.secret, 'base64'),
      additional => convert_to(s.id::text, 'utf8'),
      key_id => 0,
      nonce => s.nonce
    ),
    'utf8'
  ) as decrypted_secret,
  s.key_id,
  s.nonce,
  s.created_at,
  s.updated_at
from vault.secrets as s;

-- security definer: postgres writes secrets through the two functions only.
create or replace function vault.create_secret(
  new_secret text, new_name text default null, new_description text default '',
  new_key_id uuid default null
) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_id uuid := gen_random_uuid();
  v_nonce bytea := vault._crypto_aead_det_noncegen();
begin
  insert into vault.secrets (id, name, description, nonce, secret)
  values (
    v_id, new_name, new_description, v_nonce,
    encode(
      vault._crypto_aead_det_encrypt(
        message => convert_to(new_secret, 'utf8'),
        additional => convert_to(v_id::text, 'utf8'),
        key_id => 0,
        nonce => v_nonce
      ),
      'base64'
    )
  );
  return v_id;
end
$$;

-- security definer: postgres writes secrets through the two functions only.
create or replace function vault.update_secret(
  secret_id uuid, new_secret text default null, new_name text default null,
  new_description text default null, new_key_id uuid default null
) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  update vault.secrets as s
  set
    secret = case
      when new_secret is null then s.secret
      else encode(
        vault._crypto_aead_det_encrypt(
          message => convert_to(new_secret, 'utf8'),
          additional => convert_to(s.id::text, 'utf8'),
          key_id => 0,
          nonce => s.nonce
        ),
        'base64'
      )
    end,
    name = coalesce(new_name, s.name),
    description = coalesce(new_description, s.description),
    updated_at = now()
  where s.id = secret_id;
end
$$;

revoke all on all functions in schema vault from public;
grant usage on schema vault to postgres;
grant select, delete on vault.secrets, vault.decrypted_secrets to postgres;
grant execute on function
  vault.create_secret(text, text, text, uuid),
  vault.update_secret(uuid, text, text, text, uuid),
  vault._crypto_aead_det_decrypt(bytea, bytea, bigint, bytea, bytea)
to postgres;
