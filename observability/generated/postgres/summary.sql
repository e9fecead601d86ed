-- Generated from observability/catalogue.yaml and policy.yaml; edit those, then run: make generate
SELECT 'newest reading', max(extract(epoch FROM time)) FROM public.latest;
