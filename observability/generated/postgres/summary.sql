-- Generated from observability/catalogue.yaml and policy.yaml; mend those, then: make generate
SELECT 'newest reading', max(extract(epoch FROM time)) FROM public.latest;
